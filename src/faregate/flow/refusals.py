"""What an upstream's refusal, or a failure on the way to it, means for the client (conformance.md 2.6)."""

import re
from collections.abc import Callable

from ..core.errors import (
    CallError,
    DeadlineExceeded,
    UpstreamDenied,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamUnavailable,
)
from ..dialects import Upstream, UpstreamWords
from ..wire.incoming import IncomingResponse
from ..wire.messages import TimedOut
from .gate import Gate

_ERROR_BODY_BYTES_MAX = 256 * 1024
_ERROR_CHARACTERS_MAX = 4000
_RETRY_AFTER_S_MAX = 3600.0
_UNAVAILABLE = "The provider is not available."
# How providers say that a prompt is larger than their model's window.
_OVERFLOW_WORDS = (
    *("prompt is too long", "exceeds the maximum number of tokens", "context window", "context length"),
    *("input is too long", "number of tokens in the prompt cannot exceed"),
)
_WORD = re.compile(r"[\w.:-]{1,64}", re.ASCII)
# None of the client's business: what we may not do, and (424) what failed behind the provider.
_OUR_FAULT_STATUSES = frozenset({401, 402, 403, 404, 407, 408, 424})
# Whatever the request was: our key is none there, or our credit is used up.
_DENIED_STATUSES = frozenset({401, 402, 407})
_DENIED_CODES = frozenset({"insufficient_quota", "API_KEY_INVALID"})  # OpenAI's of a 429, Google's of a 400
_DENIED_WORDS = "Your credit balance is too low"  # Anthropic's, of a 400 without a code
# A request may have named a file, a cache or a connection that there is none of, or none of ours.
_UNTELLING_STATUSES = frozenset({403, 404, 424})


async def refusal(
    gate: Gate, dialect: Upstream, response: IncomingResponse, *, is_own: bool, is_token: bool = False
) -> CallError:
    """What an upstream's answer other than 200 means for the client (conformance.md 2.6). What authorizes us there
    mends itself where it `is_token`, one that is renewed."""
    status = response.status
    body = await response.read(_ERROR_BODY_BYTES_MAX)
    words = dialect.parse_error(body)
    retry_after_s = _retry_after_s(response, words)
    reason = _reason(gate.redact, status, words)
    if _is_denial(status, words, is_token=is_token):
        return UpstreamDenied(_UNAVAILABLE, status=status, reason=reason)
    if words is not None and 400 <= status < 500 and status != 429 and status not in _OUR_FAULT_STATUSES:
        return UpstreamRefused(
            shown(gate.redact, words.message) or "",
            status=status,
            error_type=shown(gate.redact, words.type) if is_own else None,
            code=shown(gate.redact, words.code) if is_own or words.code is not None else _code_of(words.message),
            param=shown(gate.redact, words.param) if is_own else None,
        )
    if status == 429:
        return UpstreamLimited("The provider limits us.", retry_after_s=retry_after_s, status=status, reason=reason)
    return UpstreamUnavailable(
        _UNAVAILABLE,
        retry_after_s=retry_after_s or 1.0,
        status=status,
        reason=reason,
        is_sickness=status not in _UNTELLING_STATUSES,
    )


def _is_denial(status: int, words: UpstreamWords | None, *, is_token: bool) -> bool:
    """Whether a provider refuses us, not the request."""
    if status in _DENIED_STATUSES:
        return status != 401 or not is_token
    return words is not None and (
        words.code in _DENIED_CODES or words.type in _DENIED_CODES or words.message.startswith(_DENIED_WORDS)
    )


def _reason(redact: Callable[[str], str], status: int, words: UpstreamWords | None) -> str:
    """What the log says of it: a provider's code or type, but not its message, which may cite the request."""
    word = words and redact(words.code or words.type or "")
    return f"status {status}: {word}" if word and _WORD.fullmatch(word) else f"status {status}"


def _code_of(message: str) -> str | None:
    """What the words of a provider without codes come to."""
    said = message.lower()
    return "context_length_exceeded" if any(words in said for words in _OVERFLOW_WORDS) else None


def shown(redact: Callable[[str], str], text: str | None) -> str | None:
    """A provider's words as the client may see them."""
    if text is None:
        return None
    text = redact(text)  # before it is cut: half a secret would not be known as one
    return text if len(text) <= _ERROR_CHARACTERS_MAX else text[:_ERROR_CHARACTERS_MAX] + "..."


def call_error(error: Exception) -> CallError:
    """What a failure of the wire to an upstream means for the client."""
    if isinstance(error, TimedOut) and error.phase == "total":
        return DeadlineExceeded("The request took longer than it may.", retry_after_s=1.0)
    if isinstance(error, CallError):
        return error
    return UpstreamUnavailable(_UNAVAILABLE, reason=str(error) or type(error).__name__)


def _retry_after_s(response: IncomingResponse, words: UpstreamWords | None) -> float | None:
    """The seconds that a provider asks us to wait, in a header or in words; None where it does not."""
    said = response.field(b"retry-after-ms")
    per_s = 1000.0 if said else 1.0
    try:
        wanted_s = float(said or response.field(b"retry-after") or b"0") / per_s
    except ValueError:
        wanted_s = 0.0  # a date: no provider is known to send one
    wanted_s = wanted_s if wanted_s > 0 else (words and words.retry_after_s) or 0.0
    return min(wanted_s, _RETRY_AFTER_S_MAX) if wanted_s > 0 else None
