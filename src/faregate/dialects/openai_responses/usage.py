"""The usage object of the Responses API, both ways (conformance.md 1.9, 2.4)."""

from typing import Annotated

import msgspec

from ...core.usage import Usage, UsageSource

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class _Details(msgspec.Struct):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None


class _Usage(msgspec.Struct):
    input_tokens: _Tokens
    output_tokens: _Tokens
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


_decoder = msgspec.json.Decoder(_Usage | None)
_NO_DETAILS = _Details()


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """The Usage that a `usage` member states; None where it has none, or one that cannot be read. Totals include their
    parts; a part larger than its whole is clamped, and makes the usage suspect."""
    try:
        given = _decoder.decode(raw)
    except msgspec.DecodeError:
        return None
    if given is None:
        return None
    details = given.input_tokens_details or _NO_DETAILS
    cached, written = details.cached_tokens or 0, details.cache_write_tokens or 0
    reasoning = (given.output_tokens_details or _NO_DETAILS).reasoning_tokens or 0
    cache_read = min(cached, given.input_tokens)
    cache_write = min(written, given.input_tokens - cache_read)
    thought = min(reasoning, given.output_tokens)
    return Usage(
        input=given.input_tokens - cache_read - cache_write,
        cache_read=cache_read,
        cache_write=cache_write,
        output=given.output_tokens - thought,
        reasoning=thought,
        source=UsageSource.PROVIDER,
        suspect=cached + written > given.input_tokens or reasoning > given.output_tokens,
    )


def write_usage(usage: Usage | None) -> dict[str, object] | None:
    """The `usage` member for a client."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }
