"""All that a client's generateContent says, as a Conversation."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.chat import ChatRequest
from ...core.choices import either
from ...core.conversation import (
    Conversation,
    Effort,
    Foreign,
    Function,
    Media,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Sampling,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from ...core.errors import MalformedRequest
from ..bodies import Members, decode, keep_unknown, members_decoder, missing, schema_object, wrong
from ..media import fetched_from, kind_of, seen_in
from . import body as wire
from .pieces import joined
from .proofs import NAME, thinking_of, unsealed
from .request import spelled
from .schemas import json_schema

_PART_NAMES = wire.names_of(wire.Part)
_CONTENT_NAMES = wire.names_of(wire.Content)
_PARTS_INSIDE = {
    "inlineData": wire.names_of(wire.Blob),
    "fileData": wire.names_of(wire.File),
    "functionCall": wire.names_of(wire.FunctionCall),
    "functionResponse": wire.names_of(wire.FunctionResponse),
}
_PLACED = frozenset({*wire.names_of(wire.Body), "model"})
_MODALITIES = "generationConfig.responseModalities"
# What is understood inside of members that are objects.
_INSIDE = {
    "generationConfig": wire.names_of(wire.GenerationConfig),
    "generationConfig.thinkingConfig": wire.names_of(wire.ThinkingConfig),
    "systemInstruction": _CONTENT_NAMES,
    "toolConfig": wire.names_of(wire.ToolConfig),
    "toolConfig.functionCallingConfig": wire.names_of(wire.CallingConfig),
}
_CHOICES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto"}
_EFFORTS: dict[str, Effort] = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}
_NULL = b"null"
_turns_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_URL_SAFE = str.maketrans("-_", "+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def understand(request: ChatRequest) -> Conversation:
    """All that a request says. MalformedRequest names the parameter at fault."""
    raw = spelled(request.members)
    body = decode(wire.body_decoder, raw)
    members = decode(members_decoder, raw)
    reader = _Reader()
    system = body.system_instruction
    messages = list(reader.system(wire.Content(parts=[_quoted(system)]) if isinstance(system, str) else system))
    for index, (content, given) in enumerate(
        zip(body.contents, _turns_decoder.decode(members["contents"]), strict=True)
    ):
        keep_unknown(given, _CONTENT_NAMES, f"contents[{index}]", reader.extra)
        messages.append(reader.message(content, f"contents[{index}]"))
    messages = joined(messages)
    config = body.generation_config or wire.GenerationConfig()
    extra = reader.extra | {name: value for name, value in members.items() if name not in _PLACED}
    for name, placed in _INSIDE.items():
        extra |= _unplaced(members, name, placed)
    if bytes(extra.get(_MODALITIES, b"")).replace(b" ", b"").upper() == b'["TEXT"]':
        del extra[_MODALITIES]  # what every model gives
    return Conversation(
        messages=tuple(messages),
        tools=tuple(_tools(body.tools or (), extra)),
        tool_choice=_tool_choice(body.tool_config, extra),
        output_format=_output_format(config, extra),
        sampling=_sampling(config),
        stop=tuple(config.stop_sequences or ()),
        choices=config.candidate_count or 1,
        output_tokens_max=config.max_output_tokens,
        reasoning=_reasoning(config.thinking_config),
        stream=request.stream,
        extra={name: value for name, value in extra.items() if bytes(value) != _NULL},
    )


class _Reader:
    """Reads turns, and remembers the calls that wait for their results."""

    def __init__(self) -> None:
        self.extra: dict[str, msgspec.Raw] = {}
        self._waiting: list[ToolCall] = []
        self._calls = 0

    def system(self, content: wire.Content | None) -> Iterator[Message]:
        """`systemInstruction` as a message, where it says anything."""
        if content is not None and content.parts:
            yield Message("system", tuple(self._parts(content, "systemInstruction")))

    def message(self, content: wire.Content, path: str) -> Message:
        """A turn; who spoke is the user where it is not said."""
        role = content.role or "user"
        if role not in ("user", "model", "function"):
            param = f"{path}.role"
            raise wrong(param, "it must be 'user' or 'model'")
        return Message("assistant" if role == "model" else "user", tuple(self._parts(content, path)))

    def _parts(self, content: wire.Content, path: str) -> Iterator[Part]:
        for index, raw in enumerate(content.parts or ()):
            within = f"{path}.parts[{index}]"
            part = decode(wire.part_decoder, raw, within)
            yield self._part(part, raw, within)

    def _part(self, part: wire.Part, raw: msgspec.Raw, path: str) -> Part:
        found = self._known(part, path)
        if found is not None:
            members = keep_unknown(raw, _PART_NAMES, path, self.extra)
            for name, inside in _PARTS_INSIDE.items():
                if bytes(members.get(name, wire.ABSENT)) != _NULL:
                    keep_unknown(members[name], inside, f"{path}.{name}", self.extra)
            return found
        unknown = [name for name in members_decoder.decode(raw) if name not in _PART_NAMES]
        if not unknown:
            raise MalformedRequest(f"'{path}' says nothing.", param=path)
        return Foreign(dialect=NAME, name=unknown[0], raw=raw, path=path)

    def _known(self, part: wire.Part, path: str) -> Part | None:
        if part.function_call is not None:
            return self._call(part.function_call, part.thought_signature or "")
        if part.function_response is not None:
            return self._result(part.function_response, f"{path}.functionResponse")
        media = _media(part.inline_data, part.file_data, path)
        if media is not None:
            return media
        if part.thought and (part.text is not None or part.thought_signature):
            return thinking_of(part.text or "", part.thought_signature or "")
        if part.text is not None or part.thought_signature:
            signature, signed_by, _ = unsealed(part.thought_signature or "")
            return Text(part.text or "", signature=signature if signed_by == NAME else "")
        return None

    def _call(self, given: wire.FunctionCall, signature: str) -> ToolCall:
        """A call; where it has no id it gets the next number of this conversation."""
        self._calls += 1
        proof, signed_by, _ = unsealed(signature)
        call = ToolCall(
            id=given.id or f"call_{self._calls}",
            name=given.name,
            arguments=msgspec.json.encode(given.args or {}).decode(),
            signature=proof,
            signed_by=signed_by,
        )
        self._waiting.append(call)
        return call

    def _result(self, given: wire.FunctionResponse, path: str) -> ToolResult:
        """A result belongs to the call of its id, or else to the first of its name that has none yet."""
        fitting = [call for call in self._waiting if given.id and call.id == given.id]
        fitting += [call for call in self._waiting if call.name == given.name]
        if not fitting:
            raise MalformedRequest(f"'{path}' answers no functionCall.", param=path)
        self._waiting.remove(fitting[0])
        words, is_error = _words(given.response or {})
        parts: list[Text | Media] = [Text(words)] if words else []
        for index, each in enumerate(given.parts or ()):
            within = f"{path}.parts[{index}]"
            media = _media(each.inline_data, each.file_data, within)
            if media is None:
                raise MalformedRequest(f"'{within}' has neither inlineData nor fileData.", param=within)
            parts.append(media)
        return ToolResult(call_id=fitting[0].id, parts=tuple(parts), is_error=is_error)


def _words(response: Members) -> tuple[str, bool]:
    """A result's words: the string that is its only `result`, `output` or `error`, else its JSON; whether it is an
    error."""
    if len(response) == 1:
        name, raw = next(iter(response.items()))
        if name in ("result", "output", "error") and bytes(raw)[:1] == b'"':
            return msgspec.json.decode(raw, type=str), name == "error"
    return msgspec.json.encode(response).decode(), list(response) == ["error"]


def _media(blob: wire.Blob | None, file: wire.File | None, path: str) -> Media | None:
    if blob is not None:
        media_type = blob.mime_type
        data = _standard(blob.data, f"{path}.inlineData.data")
        shown = seen_in(data, f"{path}.inlineData.data", media_type)
        if not media_type and not shown:
            raise missing(f"{path}.inlineData.mimeType")
        media_type = media_type or shown
        return Media(kind=kind_of(media_type), media_type=media_type, data=data, name=blob.display_name or "")
    if file is not None:
        kind = kind_of(file.mime_type)
        url = fetched_from(file.file_uri, f"{path}.fileData.fileUri")
        return Media(kind=kind, media_type=file.mime_type, url=url, name=file.display_name or "")
    return None


def _standard(data: str, param: str) -> str:
    """Base64 in its standard alphabet, filled up."""
    plain = data.translate(_URL_SAFE) if "-" in data or "_" in data else data
    plain += "=" * (-len(plain) % 4)
    if _BASE64.fullmatch(plain) is not None:
        return plain
    try:  # with line breaks, say
        return base64.b64encode(base64.b64decode(re.sub(r"\s", "", plain), validate=True)).decode()
    except (binascii.Error, ValueError):
        raise MalformedRequest(f"Invalid value for '{param}': it is no base64.", param=param) from None


def _tools(given: Any, extra: dict[str, msgspec.Raw]) -> Iterator[Function | Foreign]:
    for index, tool in enumerate(given):
        for name, raw in tool.items():
            if name != "functionDeclarations":
                yield Foreign(dialect=NAME, name=name, raw=raw, path=f"tools[{index}].{name}")
                continue
            path = f"tools[{index}].functionDeclarations"
            placed = wire.names_of(wire.Declaration)
            for number, each in enumerate(decode(wire.declarations_decoder, raw, path)):
                yield _function(each, f"{path}[{number}]")
            for number, members in enumerate(msgspec.json.decode(raw, type=list[Members])):
                unplaced = {member: value for member, value in members.items() if member not in placed}
                extra.update({f"{path}[{number}].{member}": value for member, value in unplaced.items()})


def _function(given: wire.Declaration, path: str) -> Function:
    parameters = schema_object(given.parameters_json_schema, f"{path}.parametersJsonSchema")
    message = wire.given(given.parameters)
    if parameters is None and message is not None:
        parameters = json_schema(message, f"{path}.parameters")
    return Function(name=given.name, description=given.description or "", parameters=parameters)


def _tool_choice(config: wire.ToolConfig | None, extra: Members) -> ToolChoice | None:
    calling = config.function_calling_config if config is not None else None
    if calling is None:
        return None
    mode = _CHOICES.get((calling.mode or "AUTO").upper())
    if mode is None:
        raise wrong("toolConfig.functionCallingConfig.mode", f"it must be {either(_CHOICES)}")
    if calling.mode and calling.mode.upper() == "VALIDATED":  # held to the schemas: no other's word is so of all tools
        extra["toolConfig.functionCallingConfig.mode"] = msgspec.Raw(b'"VALIDATED"')
    return ToolChoice(mode, tuple(calling.allowed_function_names or ()))  # type: ignore[arg-type]


def _output_format(config: wire.GenerationConfig, extra: dict[str, msgspec.Raw]) -> OutputFormat | None:
    given = wire.given(config.response_json_schema) or config.internal_json_schema
    if config.response_mime_type != "application/json":
        if config.response_mime_type not in (None, "", "text/plain"):
            extra["generationConfig.responseMimeType"] = msgspec.Raw(msgspec.json.encode(config.response_mime_type))
        extra["generationConfig.responseSchema"] = config.response_schema
        extra["generationConfig.responseJsonSchema"] = given
        return None
    schema = schema_object(given, "generationConfig.responseJsonSchema")
    message = wire.given(config.response_schema)
    if schema is None and message is not None:
        schema = json_schema(message, "generationConfig.responseSchema")
    return OutputFormat(schema=schema)


def _sampling(config: wire.GenerationConfig) -> Sampling:
    return Sampling(
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        seed=config.seed,
        presence_penalty=config.presence_penalty,
        frequency_penalty=config.frequency_penalty,
        logprobs=config.response_logprobs,
        top_logprobs=config.logprobs,
    )


def _reasoning(config: wire.ThinkingConfig | None) -> Reasoning | None:
    """thinkingBudget 0 is none at all, -1 as the model likes."""
    if config is None:
        return None
    budget, effort = config.thinking_budget, None
    if config.thinking_level and config.thinking_level.upper() != "THINKING_LEVEL_UNSPECIFIED":
        effort = _EFFORTS.get(config.thinking_level.upper())
        if effort is None:
            raise wrong("generationConfig.thinkingConfig.thinkingLevel", f"it must be {either(_EFFORTS)}")
    if budget == 0:
        effort = "none"
    return Reasoning(
        effort=effort,
        budget_tokens=budget if budget is not None and budget > 0 else None,
        is_adaptive=budget is not None and budget < 0,
        is_shown=config.include_thoughts,
    )


def _unplaced(members: Members, name: str, placed: frozenset[str]) -> Members:
    inner = members
    for step in name.split("."):
        raw = inner.get(step, wire.ABSENT)
        if bytes(raw)[:1] != b"{":
            return {}
        inner = members_decoder.decode(raw)
    return {f"{name}.{member}": value for member, value in inner.items() if member not in placed}


def _quoted(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"text": text}))
