"""OpenAI's usage object as disjoint counters (conformance.md 2.4)."""

from collections.abc import Mapping

import msgspec

from ...core.usage import Usage, UsageSource
from ..counters import TOKENS_MAX, Counters, mapping


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_creation_token_details: dict[str, int | None] | None = None


class PlainUsage(msgspec.Struct):
    """A usage object whose figures are what they should be: read without a dictionary."""

    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None


_NO_DETAILS = _Details()
_plain_decoder = msgspec.json.Decoder(PlainUsage)


def with_cache_split(members: Mapping[str, object]) -> dict[str, object]:
    """A `usage` object that tells cached and fresh input apart as DeepSeek does (contract.md 5.3): `prompt_tokens` is
    the sum of the two."""
    usage = usage_of(members)
    hit = 0 if usage is None else usage.cache_read
    miss = 0 if usage is None else usage.prompt - hit
    return {**members, "prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": miss}


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """The Usage that an undecoded `usage` member states; as usage_of, faster for what is in order."""
    try:
        return usage_of_plain(_plain_decoder.decode(raw))
    except msgspec.ValidationError:
        return usage_of(msgspec.json.decode(raw))


def usage_of_plain(plain: PlainUsage) -> Usage:
    """The Usage that a decoded `usage` member states."""
    prompt_details = plain.prompt_tokens_details or _NO_DETAILS
    cache_read = prompt_details.cached_tokens
    if cache_read is None:
        cache_read = plain.prompt_cache_hit_tokens or 0
    cache_write = prompt_details.cache_write_tokens or 0
    completion_details = plain.completion_tokens_details or _NO_DETAILS
    reasoning = completion_details.reasoning_tokens or 0
    fresh = plain.prompt_tokens - cache_read - cache_write
    output = plain.completion_tokens - reasoning
    if (
        not 0 <= fresh <= TOKENS_MAX
        or not 0 <= output <= TOKENS_MAX
        or cache_read < 0
        or cache_write < 0
        or reasoning < 0
        or prompt_details.audio_tokens  # rare, so it goes the careful way
        or prompt_details.cache_creation_tokens
        or prompt_details.cache_creation_token_details
        or completion_details.audio_tokens
    ):
        usage = usage_of(msgspec.to_builtins(plain))
        assert usage is not None
        return usage
    return Usage(
        input=fresh,
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        reasoning=reasoning,
        source=UsageSource.PROVIDER,
    )


def usage_of(raw: object) -> Usage | None:
    """The Usage that a decoded `usage` object states; None where there is none.

    Prompt and completion are inclusive on the wire; DeepSeek's `prompt_cache_hit_tokens` is read where the standard
    member is missing, and LiteLLM's `cache_creation_tokens`, which may tell what was written for an hour. Sound
    that came from the cache, or was thought with, counts as that alone: the cheaper class, as nothing says how they
    overlap. A figure that cannot be true (negative, fractional, a string, beyond a billion, a part larger than its
    whole) is read as 0 or clamped to its whole and makes the usage suspect.
    """
    if not isinstance(raw, dict):
        return None
    reader = Counters()
    prompt = reader.count(raw.get("prompt_tokens"), is_needed=True)
    completion = reader.count(raw.get("completion_tokens"), is_needed=True)
    prompt_details = mapping(raw.get("prompt_tokens_details"))
    completion_details = mapping(raw.get("completion_tokens_details"))
    cached = prompt_details.get("cached_tokens")
    if cached is None:
        cached = raw.get("prompt_cache_hit_tokens")
    cache_read = reader.count(0 if cached is None else cached, of=prompt)
    written = prompt_details.get("cache_write_tokens") or prompt_details.get("cache_creation_tokens") or 0
    cache_write = reader.count(written, of=prompt - cache_read)
    kinds = mapping(prompt_details.get("cache_creation_token_details"))
    for_an_hour = reader.count(kinds.get("ephemeral_1h_input_tokens") or 0, of=cache_write)
    reasoning = reader.count(completion_details.get("reasoning_tokens") or 0, of=completion)
    fresh, said = prompt - cache_read - cache_write, completion - reasoning
    audio_input = min(fresh, reader.count(prompt_details.get("audio_tokens") or 0, of=prompt))
    audio_output = min(said, reader.count(completion_details.get("audio_tokens") or 0, of=completion))
    return Usage(
        input=fresh - audio_input,
        cache_read=cache_read,
        cache_write=cache_write - for_an_hour,
        cache_write_1h=for_an_hour,
        output=said - audio_output,
        reasoning=reasoning,
        audio_input=audio_input,
        audio_output=audio_output,
        source=UsageSource.PROVIDER,
        suspect=reader.suspect,
    )
