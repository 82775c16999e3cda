"""What the simulator takes: chat and legacy completion bodies, checked as strictly as the answer needs."""

import re
from typing import Annotated, Any, Literal

import msgspec

from .faults import OF_WHOLE_ANSWERS, Plan

Positive = Annotated[int, msgspec.Meta(ge=1)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

_AT = re.compile(r" - at `\$\.?(.*)`\Z")
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`")


class Refused(Exception):
    """The request gets an error for an answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code


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
    def calls(self) -> list[tuple[str, str]]:
        """Names and arguments of the calls it made."""
        functions = (call.get("function") or {} for call in self.tool_calls or ())
        return [(str(function.get("name", "")), str(function.get("arguments", ""))) for function in functions]


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
    def stops(self) -> list[str]:
        """The stop sequences."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())


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


class CompletionBody(Body, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | int | list[int]] = ""  # a text, texts, tokens, or lists of tokens
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    echo: bool | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or a list of tokens."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        numbers = [item for item in prompt if isinstance(item, int)]
        return [numbers] if numbers else [item for item in prompt if not isinstance(item, int)]


_CHAT = msgspec.json.Decoder(ChatBody)
_COMPLETION = msgspec.json.Decoder(CompletionBody)


def read_chat(data: bytes) -> ChatBody:
    """The chat body in `data`; Refused where it is none."""
    body = _read(_CHAT, data)
    if body.top_logprobs is not None and not body.logprobs:
        raise Refused("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs", code="invalid_value")
    for position, message in enumerate(body.messages):
        _check_parts(message, f"messages[{position}].content")
    return body


def read_completion(data: bytes) -> CompletionBody:
    """The legacy completion body in `data`; Refused where it is none."""
    body = _read(_COMPLETION, data)
    if body.echo:
        raise Refused("'echo' is not supported by this model.", param="echo", code="unsupported_value")
    return body


def _read(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        body = decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("We could not parse the JSON body of your request.") from None
    malformed = body.simulator.malformed
    if malformed is not None and not body.stream and malformed not in OF_WHOLE_ANSWERS:
        raise Refused(f"'{malformed}' needs a stream.", param="simulator.malformed", code="invalid_value")
    return body


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
