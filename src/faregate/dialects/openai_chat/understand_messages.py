"""The messages of a client's body (openai-openapi, ChatCompletionRequest*Message; conformance 2.1).

Results of tools that follow one another are one turn of the user. What a model thought is read in each form in which
clients give it back: `thinking_blocks` (LiteLLM), `reasoning_details` and `reasoning` (OpenRouter), `reasoning_content`
(DeepSeek), and `extra_content.google.thought_signature` of a call (Google's OpenAI layer).
"""

from typing import Literal

import msgspec

from ...core.conversation import Foreign, Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from .. import bodies
from ..bodies import NULL, Extra, arguments_object, keep_unknown, missing, wrong
from .understand_parts import DIALECT, CacheMark, cache_of, understand_content

_NO_ARGUMENTS = "{}"


class _Called(msgspec.Struct):
    name: str
    arguments: str | None = None


class _Google(msgspec.Struct):
    thought_signature: str | None = None


class _ExtraContent(msgspec.Struct):
    google: _Google | None = None


class _Call(msgspec.Struct):
    id: str
    type: str = "function"
    function: _Called | None = None
    custom: msgspec.Raw = NULL
    extra_content: _ExtraContent | None = None
    cache_control: CacheMark | None = None


class ThinkingBlock(msgspec.Struct):
    """LiteLLM's form of signed thoughts: Anthropic's blocks. `format` names another dialect that signed."""

    type: str
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class ReasoningDetail(msgspec.Struct):
    """OpenRouter's form of thoughts; `format` says whose they are (openrouter.ai, reasoning tokens)."""

    type: str
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: msgspec.Raw = NULL
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Called | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    images: msgspec.Raw = NULL
    annotations: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL
    cache_control: CacheMark | None = None


_SAID = frozenset({"role", "content", "name", "cache_control"})
_KNOWN = {
    "tool": _SAID | {"tool_call_id"},
    "function": _SAID,
    "assistant": _SAID
    | {"tool_calls", "function_call", "refusal", "reasoning_content", "reasoning"}
    | {"thinking_blocks", "reasoning_details", "images"},
}
_CALL_KNOWN = frozenset({"id", "type", "function", "extra_content", "cache_control", "index"})
_CALLED_KNOWN = frozenset({"name", "arguments"})
# OpenRouter's `format`, as the dialect whose providers sign in it.
SIGNERS = {
    "anthropic-claude-v1": "anthropic_messages",
    "openai-responses-v1": "openai_responses",
    "google-gemini-v1": "gemini_generate",
}

_messages_decoder = msgspec.json.Decoder(list[_Message])
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def understand_messages(raw: msgspec.Raw, extra: Extra) -> tuple[Message, ...]:
    """The `messages` of a body; what has no place goes to `extra`. MalformedRequest names what is wrong."""
    return _Reader(extra).read(raw)


def thoughts_of_blocks(blocks: list[ThinkingBlock]) -> list[Thinking]:
    """The thoughts in LiteLLM's form."""
    found = []
    for block in blocks:
        signer = block.format or "anthropic_messages"
        if block.data:
            found.append(Thinking(redacted=block.data, signed_by=signer))
        elif block.thinking or block.signature:
            signature = block.signature or ""
            found.append(
                Thinking(text=block.thinking or "", signature=signature, signed_by=signer if signature else "")
            )
    return found


def thoughts_of_details(details: list[ReasoningDetail]) -> list[Thinking]:
    """The thoughts in OpenRouter's form. A proof without a known maker could be shown to nobody."""
    found = []
    for detail in details:
        signer = SIGNERS.get(detail.format or "", "")
        text, signature = detail.text or detail.summary or "", (detail.signature or "") if signer else ""
        if detail.data and signer:
            found.append(Thinking(redacted=detail.data, signed_by=signer))
        elif text or signature:
            found.append(Thinking(text=text, signature=signature, signed_by=signer if signature else ""))
    return found


class _Reader:
    """Reads messages in their order, and knows the calls so far."""

    def __init__(self, extra: Extra) -> None:
        self._extra = extra
        self._call_ids: set[str] = set()
        self._functions: dict[str, str] = {}  # name of a legacy function -> the id made for its newest call

    def read(self, raw: msgspec.Raw) -> tuple[Message, ...]:
        given = bodies.decode(_messages_decoder, raw, "messages")
        messages: list[Message] = []
        results: list[Part] = []
        for index, (message, each) in enumerate(zip(given, _raws_decoder.decode(raw), strict=True)):
            path = f"messages[{index}]"
            keep_unknown(each, _KNOWN.get(message.role, _SAID), path, self._extra)
            if message.role in ("tool", "function"):
                results.append(self._result(message, path))
                continue
            if results:
                messages.append(Message("user", tuple(results)))
                results = []
            messages.append(self._message(message, each, index, path))
        if results:
            messages.append(Message("user", tuple(results)))
        return tuple(messages)

    def _message(self, message: _Message, raw: msgspec.Raw, index: int, path: str) -> Message:
        role = message.role
        assert role not in ("tool", "function")
        content = understand_content(message.content, f"{path}.content", self._extra)
        if message.cache_control is not None and content:
            content = (*content[:-1], _marked(content[-1], message.cache_control))
        if role != "assistant":
            return Message(role, content, message.name or "")
        if len(content) == 1 and content[0] == Text(""):
            content = ()  # clients write "" for null beside calls
        refusal = (Refusal(message.refusal),) if message.refusal else ()
        images = understand_content(message.images, f"{path}.images", self._extra)
        parts = (*_thoughts(message), *content, *refusal, *images, *self._calls(message, raw, index, path))
        return Message(role, parts, message.name or "")

    def _calls(self, message: _Message, raw: msgspec.Raw, index: int, path: str) -> list[Part]:
        calls: list[Part] = []
        raws: list[msgspec.Raw] = []
        if message.tool_calls:
            raws = _raws_decoder.decode(_object_decoder.decode(raw)["tool_calls"])
        for place, (call, each) in enumerate(zip(message.tool_calls or (), raws, strict=True)):
            calls.append(self._call(call, each, f"{path}.tool_calls[{place}]"))
        if message.function_call is not None:
            called = message.function_call
            call_id = f"call_{index}"
            self._functions[called.name] = call_id
            arguments = _arguments(called, f"{path}.function_call.arguments")
            calls.append(ToolCall(id=call_id, name=called.name, arguments=arguments))
        return calls

    def _call(self, call: _Call, raw: msgspec.Raw, path: str) -> Part:
        self._call_ids.add(call.id)
        if call.type != "function":
            return Foreign(dialect=DIALECT, name=call.type, raw=msgspec.Raw(bytes(raw)), path=path)
        if call.function is None:
            raise missing(f"{path}.function")
        members = keep_unknown(raw, _CALL_KNOWN, path, self._extra)
        keep_unknown(members["function"], _CALLED_KNOWN, f"{path}.function", self._extra)
        google = None if call.extra_content is None else call.extra_content.google
        signature = (google.thought_signature if google is not None else None) or ""
        return ToolCall(
            id=call.id,
            name=call.function.name,
            arguments=_arguments(call.function, f"{path}.function.arguments"),
            signature=signature,
            signed_by="gemini_generate" if signature else "",
            cache=cache_of(call.cache_control),
        )

    def _result(self, message: _Message, path: str) -> ToolResult:
        if message.role == "function":
            call_id = self._functions.get(message.name or "")
            if call_id is None:
                raise wrong(f"{path}.name", "no earlier message calls this function")
        else:
            call_id = message.tool_call_id
            if call_id is None:
                raise missing(f"{path}.tool_call_id")
            if call_id not in self._call_ids:
                raise wrong(f"{path}.tool_call_id", "no earlier message has a tool call of this id")
        content = understand_content(message.content, f"{path}.content", self._extra)
        parts = tuple(part for part in content if isinstance(part, Text | Media))
        if len(parts) < len(content):
            raise wrong(f"{path}.content", "a tool's result has texts and media alone")
        return ToolResult(call_id=call_id, parts=parts, name=message.name or "", cache=cache_of(message.cache_control))


def _thoughts(message: _Message) -> list[Thinking]:
    """What was thought, from the first of the forms that is there: clients give the same in several."""
    if message.thinking_blocks:
        return thoughts_of_blocks(message.thinking_blocks)
    if message.reasoning_details:
        return thoughts_of_details(message.reasoning_details)
    text = message.reasoning_content or message.reasoning
    return [Thinking(text=text)] if text else []


def _arguments(called: _Called, path: str) -> str:
    return arguments_object(called.arguments or "", path)


def _marked(part: Part, mark: CacheMark) -> Part:
    if isinstance(part, Text | Media) and not part.cache:
        return msgspec.structs.replace(part, cache=cache_of(mark))
    return part
