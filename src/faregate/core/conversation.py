"""A conversation in the gateway's own words: what a request asks for, whichever dialect it came in, and what was
answered.

It is made only where a dialect is crossed. Everything that one of the dialects can say has a place here; what only one
can say, and no other could take up, is `Foreign` or stands in `Conversation.extra`, so that whoever leaves it out can
name it. Texts are never changed. Base64 stays base64, JSON stays JSON (`msgspec.Raw`).
"""

from typing import Literal

import msgspec

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Role = Literal["system", "developer", "user", "assistant"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
MediaKind = Literal["image", "audio", "document", "video"]
CacheLifetime = Literal["", "5m", "1h"]


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """What a piece of an answer rests on. `quoted` is the source's text; `start` and `end` count characters of the
    text that is explained, -1 where nobody says."""

    url: str = ""
    title: str = ""
    quoted: str = ""
    start: int = -1
    end: int = -1


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Words. `cache` says that the prompt up to here is worth keeping at the provider, and for how long; `signature`
    is of a provider that signs its texts."""

    text: str
    cache: CacheLifetime = ""
    citations: tuple[Citation, ...] = ()
    signature: str = ""


class Media(msgspec.Struct, frozen=True, kw_only=True, tag="media"):
    """A picture, a sound, a document or a film, exactly one of: its bytes in `data` (standard base64, with `media_type`
    as it was stated), an address in `url`, an id of an uploaded file in `file_id`, the words of a document in `text`.
    `name` is a file's name or a document's title; `detail` how closely a picture is to be looked at."""

    kind: MediaKind
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    text: str = ""
    name: str = ""
    detail: str = ""
    cache: CacheLifetime = ""


class Thinking(msgspec.Struct, frozen=True, kw_only=True, tag="thinking"):
    """What a model thought before it spoke. `signature` proves it to the provider that made it; `redacted` is one that
    only that provider can read (then `text` is empty). `signed_by` names the dialect whose providers made the proof:
    no other may be shown it."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    signed_by: str = ""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call"):
    """A model's call of a tool. `arguments` is the text of a JSON object, "{}" where there are none. `signature` and
    `signed_by` as in Thinking."""

    id: str
    name: str
    arguments: str = "{}"
    signature: str = ""
    signed_by: str = ""
    cache: CacheLifetime = ""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool gave back. `name` is the tool's, "" where the dialect does not say: then that of the call."""

    call_id: str
    parts: tuple[Text | Media, ...] = ()
    is_error: bool = False
    name: str = ""
    cache: CacheLifetime = ""


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """A model's words for why it does not answer."""

    text: str


class Foreign(msgspec.Struct, frozen=True, kw_only=True, tag="foreign"):
    """Something that only its own `dialect` can say: a block or tool of a provider's own making. `name` is what it is
    called there, `raw` its JSON, `path` where it stood in the client's body, where that is known."""

    dialect: str
    name: str
    raw: msgspec.Raw
    path: str = ""


Part = Text | Media | Thinking | ToolCall | ToolResult | Refusal | Foreign


class Message(msgspec.Struct, frozen=True):
    """One turn, or part of one. Tool results are parts of `user` messages, tool calls and thinking of `assistant` ones.
    `system` and `developer` messages stand where the client put them."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


class Function(msgspec.Struct, frozen=True, kw_only=True, tag="function"):
    """A tool of the client's. `parameters` is a JSON Schema of an object, None where it takes nothing."""

    name: str
    description: str = ""
    parameters: msgspec.Raw | None = None
    strict: bool | None = None
    cache: CacheLifetime = ""


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model may (`auto`), must (`required`) or must not (`none`) call a tool; `names` are the only ones
    that it may call, all of them where it is empty. `required` with one name is that tool."""

    mode: Literal["auto", "none", "required"]
    names: tuple[str, ...] = ()


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is to be JSON: any object, or what `schema` (a JSON Schema) allows."""

    schema: msgspec.Raw | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How words are drawn. None: as the model does by itself. `logit_bias` is a JSON object; `logprobs` asks for the
    probabilities of what was said, `top_logprobs` for those of so many other words."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: msgspec.Raw | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model is to think: by `effort` ("none": not at all), by at most `budget_tokens`, or as it likes
    (`is_adaptive`). `is_shown` says whether the client wants to see it, None where it did not say."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    is_adaptive: bool = False
    is_shown: bool | None = None


class Conversation(msgspec.Struct, kw_only=True):
    """A request. `extra` holds, by its path in the client's body, what has no place here (a value of the JSON's).

    The names of the fields are the words in which a dialect says what it left out or cannot express; each dialect has
    a table of what it calls them itself. `reasoning_shown` is such a word too (Reasoning.is_shown), and `signature` (a
    proof that another than the provider made).
    """

    messages: tuple[Message, ...]
    tools: tuple[Function | Foreign, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    choices: int = 1
    output_tokens_max: int | None = None
    reasoning: Reasoning | None = None
    user: str = ""
    service_tier: str = ""
    stream: bool = False
    extra: dict[str, msgspec.Raw] = {}


class Choice(msgspec.Struct, kw_only=True):
    """One answer of a completion. `native_reason` is the provider's own word where ours says less; `stop_sequence` is
    what ended it; `explanation` is said of a refusal; `logprobs` is OpenAI's JSON."""

    parts: tuple[Part, ...] = ()
    reason: FinishReason = "stop"
    native_reason: str = ""
    stop_sequence: str = ""
    explanation: str = ""
    logprobs: msgspec.Raw | None = None
