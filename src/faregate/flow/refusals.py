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
_DENIED_EVERYWHERE = frozenset({401, 402, 407})
_DENIED = frozenset({403, 404})
_NO_CREDIT = "insufficient_quota"  # OpenAI's code of a 429 that no waiting helps (error codes guide)


async def refusal(
    gate: Gate, dialect: Upstream, response: IncomingResponse, *, is_own: bool, is_token: bool = False
) -> CallError:
    """What an upstream's answer other than 200 means for the client (conformance.md 2.6). What authorizes us there
    mends itself where it `is_token`, one that is renewed."""
    status = response.status
    body = await response.read(_ERROR_BODY_BYTES_MAX)
    retry_after_s = _retry_after_s(response)
    words = dialect.parse_error(body)
    if words is not None and 400 <= status < 500 and status != 429 and status not in _OUR_FAULT_STATUSES:
        return UpstreamRefused(
            shown(gate.redact, words.message) or "",
            status=status,
            error_type=shown(gate.redact, words.type) if is_own else None,
            code=shown(gate.redact, words.code) if is_own or words.code is not None else _code_of(words.message),
            param=shown(gate.redact, words.param) if is_own else None,
        )
    reason = _reason(gate.redact, status, words)
    is_broke = words is not None and _NO_CREDIT in (words.code, words.type)
    if is_broke or status in _DENIED or (status in _DENIED_EVERYWHERE and not (is_token and status == 401)):
        is_everywhere = status not in _DENIED or is_broke
        return UpstreamDenied(_UNAVAILABLE, is_everywhere=is_everywhere, status=status, reason=reason)
    if status == 429:
        return UpstreamLimited("The provider limits us.", retry_after_s=retry_after_s, status=status, reason=reason)
    return UpstreamUnavailable(_UNAVAILABLE, retry_after_s=retry_after_s, status=status, reason=reason)


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


def _retry_after_s(response: IncomingResponse) -> float:
    try:
        wanted = float(response.field(b"retry-after") or b"1")
    except ValueError:
        return 1.0
    return min(wanted, _RETRY_AFTER_S_MAX) if wanted > 0 else 1.0
