"""What happens in an answer, in the order in which it happens; and a whole answer, which is all of it at once.

    Started, then for each choice, in any mixture: TextDelta, ReasoningDelta, Signed, Redacted, RefusalDelta,
    ToolCallStarted, ArgumentsDelta, MediaGiven, ForeignGiven, Cited, LogprobsGiven; then Finished; UsageReported
    whenever the provider says it (the newest counts); Ended, or Failed.

A run of ReasoningDelta ends with Signed, or with an event of another kind. Tool calls of a choice are numbered from 0
in the order in which they began; their arguments may come interleaved. Nothing follows Ended or Failed.
"""

import msgspec

from .conversation import Choice, Citation, FinishReason, Foreign, Media
from .usage import Usage


class UpstreamWords(msgspec.Struct, frozen=True):
    """What a provider's error body says. Unredacted: whoever shows it redacts it first. `retry_after_s` is of those who
    do not say it in a header."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The answer has begun. `id` and `model` are the provider's own ("" where it gives none)."""

    id: str = ""
    model: str = ""


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """More words."""

    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning_delta"):
    """More of what the model thinks. `thought_id` is what its provider calls the thought, where the proof is of that
    name too."""

    text: str
    choice: int = 0
    thought_id: str = ""


class Signed(msgspec.Struct, frozen=True, kw_only=True, tag="signed"):
    """The proof of the thinking that came last (which may have no text), or, with `call`, of that tool call, or, with
    `is_text`, of the words that came last."""

    signature: str
    signed_by: str
    call: int | None = None
    is_text: bool = False
    choice: int = 0


class Redacted(msgspec.Struct, frozen=True, kw_only=True, tag="redacted"):
    """Thinking that only its provider can read, whole."""

    data: str
    signed_by: str
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, tag="refusal_delta"):
    """More words for why there is no answer."""

    text: str
    choice: int = 0


class ToolCallStarted(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call_started"):
    """A call of a tool; its arguments follow."""

    call: int
    id: str
    name: str
    choice: int = 0


class ArgumentsDelta(msgspec.Struct, frozen=True, kw_only=True, tag="arguments_delta"):
    """More of the JSON text of a call's arguments. A call without any has none: the same as "{}"."""

    call: int
    text: str
    choice: int = 0


class MediaGiven(msgspec.Struct, frozen=True, tag="media_given"):
    """A picture that the model made, or a sound, which may come in pieces: each is base64 by itself."""

    media: Media
    choice: int = 0


class ForeignGiven(msgspec.Struct, frozen=True, tag="foreign_given"):
    """Something that the provider's own dialect alone can say: what a tool of the provider's did, say. Its JSON is null
    where the stream does not give it whole."""

    part: Foreign
    choice: int = 0


class Cited(msgspec.Struct, frozen=True, tag="cited"):
    """What the words that came last rest on."""

    citation: Citation
    choice: int = 0


class LogprobsGiven(msgspec.Struct, frozen=True, tag="logprobs_given"):
    """Probabilities of the words that came last, as OpenAI's `logprobs` has them (JSON)."""

    raw: msgspec.Raw
    choice: int = 0


class UsageReported(msgspec.Struct, frozen=True, tag="usage_reported"):
    """What was used so far, in all: it replaces what was reported before."""

    usage: Usage


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """A choice is complete; see conversation.Choice for the fields."""

    reason: FinishReason
    native_reason: str = ""
    stop_sequence: str = ""
    explanation: str = ""
    choice: int = 0


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The provider says that it cannot go on."""

    words: UpstreamWords


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The provider has said all; its end mark, or what counts as one, was seen."""


Event = (
    Started
    | TextDelta
    | ReasoningDelta
    | Signed
    | Redacted
    | RefusalDelta
    | ToolCallStarted
    | ArgumentsDelta
    | MediaGiven
    | ForeignGiven
    | Cited
    | LogprobsGiven
    | UsageReported
    | Finished
    | Failed
    | Ended
)


class Completion(msgspec.Struct, kw_only=True):
    """A whole answer. `usage` is None where the provider does not say it."""

    id: str = ""
    model: str = ""
    choices: list[Choice]
    usage: Usage | None = None
