"""Converse's TokenUsage as disjoint counters: its input excludes what was cached (Bedrock user guide, "Prompt
caching"). It does not tell how much of the output was thought."""

from ...core.usage import Usage, UsageSource

_TOKENS_MAX = 1_000_000_000


def usage_of(raw: object) -> Usage | None:
    """The Usage that a decoded `usage` object states; None where there is none.

    A figure that cannot be true (negative, no integer, beyond a billion, a part larger than its whole) is read as 0 or
    clamped, and makes the usage suspect.
    """
    if not isinstance(raw, dict):
        return None
    figures = {name: raw.get(name) or 0 for name in ("inputTokens", "outputTokens")}
    cached, written = raw.get("cacheReadInputTokens") or 0, raw.get("cacheWriteInputTokens") or 0
    said = [*figures.values(), cached, written, for_an_hour := _for_an_hour(raw.get("cacheDetails"))]
    is_true = all(type(figure) is int and 0 <= figure <= _TOKENS_MAX for figure in said)
    fresh, output, cached, written, for_an_hour = (_clamped(figure) for figure in said)
    is_true = is_true and for_an_hour <= written
    for_an_hour = min(for_an_hour, written)
    return Usage(
        input=fresh,
        cache_read=cached,
        cache_write=written - for_an_hour,
        cache_write_1h=for_an_hour,
        output=output,
        source=UsageSource.PROVIDER,
        suspect=not is_true,
    )


def _for_an_hour(details: object) -> object:
    """Of what was written to the cache, what stays for an hour."""
    for each in details if isinstance(details, list) else ():
        if isinstance(each, dict) and each.get("ttl") == "1h":
            return each.get("inputTokens") or 0
    return 0


def _clamped(figure: object) -> int:
    return figure if type(figure) is int and 0 <= figure <= _TOKENS_MAX else 0
