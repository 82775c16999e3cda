"""Chat and legacy completion bodies, checked as strictly as the answer needs; other members are let pass."""

import re
from typing import Annotated, Any, Literal

import msgspec

from ..faults import Plan
from ..framing import event_stream
from ..question import EFFORT_TOKENS, Function, Question, Turn, arguments_text
from ..refused import Refused
from ..wires import Asked, Call
from . import history, mistral

Positive = Annotated[int, msgspec.Meta(ge=1)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast"]
Mode = Literal["auto", "none", "required"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

EVENTS = event_stream(ping=b": ping\n\n")

_TIERS = {"auto": "default", "fast": "priority"}
_AT = re.compile(r" - at `\$\.?(.*)`\Z")
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`")


class StreamOptions(msgspec.Struct, frozen=True):
    """How to stream."""

    include_usage: bool | None = None


class Message(msgspec.Struct, frozen=True):
    """One turn."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """All that is text in it."""
        if isinstance(self.content, str):
            return self.content
        texts = (part.get("text") or part.get("refusal") for part in self.content or ())
        return "".join(text for text in texts if isinstance(text, str))

    @property
    def images(self) -> int:
        """How many of its parts are images."""
        parts = self.content if isinstance(self.content, list) else ()
        return sum(part.get("type") == "image_url" for part in parts)

    @property
    def turn(self) -> Turn:
        """The turn that it is."""
        functions = [call.get("function") or {} for call in self.tool_calls or ()]
        calls = [(str(each.get("name", "")), arguments_text(each.get("arguments", ""))) for each in functions]
        return Turn("system" if self.role == "developer" else self.role, self.text, self.images, tuple(calls))


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What chat and legacy completions share. Members that mean nothing here are let pass."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Choices | None = None
    max_tokens: Positive | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    simulator: Plan = Plan()

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatBody(Body, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    reasoning_effort: Effort | None = None
    service_tier: Tier | None = None

    @property
    def shown_logprobs(self) -> int | None:
        """How many alternatives are shown for each token; None: no log probabilities at all."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def tier(self) -> str:
        """The tier that the answer has."""
        return _TIERS.get(self.service_tier or "auto", self.service_tier or "default")


class MistralBody(ChatBody, frozen=True, kw_only=True):
    """POST /v1/chat/completions at Mistral, which says what was used at a stream's end, asked or not."""


class CompletionBody(Body, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | int | list[int]] = ""  # a text, texts, tokens, or lists of tokens
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    echo: bool | None = None

    @property
    def shown_logprobs(self) -> int | None:
        """How many alternatives are shown for each token; None: no log probabilities at all."""
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or a list of tokens."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        numbers = [item for item in prompt if isinstance(item, int)]
        return [numbers] if numbers else [item for item in prompt if not isinstance(item, int)]


_CHAT = msgspec.json.Decoder(ChatBody)
_MISTRAL = msgspec.json.Decoder(MistralBody)
_COMPLETION = msgspec.json.Decoder(CompletionBody)


def read_chat(data: bytes, _call: Call) -> Asked:
    """The chat in `data`; Refused where it is none."""
    return _chat(decoded(_CHAT, data))


def read_mistral(data: bytes, _call: Call) -> Asked:
    """The chat in `data`, by Mistral's rules; Refused where it is none."""
    body: MistralBody = decoded(_MISTRAL, data)
    mistral.check(data)
    return _chat(body)


def _chat(body: ChatBody) -> Asked:
    if body.top_logprobs is not None and not body.logprobs:
        raise Refused("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs", code="invalid_value")
    for position, message in enumerate(body.messages):
        _check_parts(message, f"messages[{position}].content")
    history.check(body.messages)
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    mode, named, functions = _tools(body)
    question = Question(
        model=body.model,
        id_start="chatcmpl-",
        stream=body.stream is True,
        turns=tuple(message.turn for message in body.messages),
        plan=body.simulator,
        choices=body.n or 1,
        limit=limit,
        stops=body.stops,
        functions=functions,
        tools=mode,
        named=named,
        parallel=body.parallel_tool_calls is not False,
        form=_form(body.response_format or {}),
        thought_tokens=EFFORT_TOKENS[body.reasoning_effort or "none"],
    )
    return Asked(question=question, body=body, framing=EVENTS)


def read_completion(data: bytes, _call: Call) -> Asked:
    """The legacy completion in `data`; Refused where it is none."""
    body: CompletionBody = decoded(_COMPLETION, data)
    if body.echo:
        raise Refused("'echo' is not supported by this model.", param="echo", code="unsupported_value")
    question = Question(
        model=body.model,
        id_start="cmpl-",
        stream=body.stream is True,
        prompts=tuple(body.prompts),
        plan=body.simulator,
        choices=body.n or 1,
        limit=body.max_tokens,
        stops=body.stops,
    )
    return Asked(question=question, body=body, framing=EVENTS)


def _tools(body: ChatBody) -> tuple[Mode, str | None, tuple[Function, ...]]:
    """How tools may be called, the one that has to be, and those that may."""
    functions = [tool["function"] for tool in body.tools or () if isinstance(tool.get("function"), dict)]
    choice, named = body.tool_choice, None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or {}
        names = {(tool.get("function") or {}).get("name") for tool in allowed.get("tools") or ()}
        functions = [function for function in functions if function.get("name") in names]
        choice = allowed.get("mode")
    if isinstance(choice, dict) and choice.get("type") == "function":
        named = str((choice.get("function") or {}).get("name"))
    mode: Mode = "none" if choice == "none" else "required" if choice in ("required", "any") else "auto"
    may = [Function(str(function.get("name", "")), function.get("parameters")) for function in functions]
    return mode, named, tuple(may)


def _form(asked: dict[str, Any]) -> Any:
    """The JSON Schema of the answer, `{}` for any object, None for words."""
    if asked.get("type") == "json_schema":
        return (asked.get("json_schema") or {}).get("schema") or {}
    return {} if asked.get("type") == "json_object" else None


def decoded(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    """The body in `data`; Refused where it is none."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("We could not parse the JSON body of your request.") from None


def _refusal(message: str) -> Refused:
    at = _AT.search(message)
    param = at.group(1) if at else ""
    code = "invalid_type"
    for form, form_code in ((_MISSING, "missing_required_parameter"), (_UNKNOWN, "unknown_parameter")):
        found = form.search(message)
        if found:
            param = f"{param}.{found.group(1)}" if param else found.group(1)
            code = form_code
    if code == "missing_required_parameter":
        message = f"Missing required parameter: '{param}'."
    elif code == "unknown_parameter":
        message = f"Unknown parameter: '{param}'."
    return Refused(message, param=param or None, code=code)


def _check_parts(message: Message, param: str) -> None:
    if not isinstance(message.content, list):
        return
    for position, part in enumerate(message.content):
        image = part.get("image_url")
        if not isinstance(part.get("type"), str) or (
            part["type"] == "image_url" and not (isinstance(image, dict) and isinstance(image.get("url"), str))
        ):
            raise Refused("Invalid content part.", param=f"{param}[{position}]", code="invalid_value")
