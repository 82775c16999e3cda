"""Converse's TokenUsage as disjoint counters: its input excludes what was cached (Bedrock user guide, "Prompt
caching"). It does not tell how much of the output was thought."""

from ...core.usage import Usage, UsageSource
from ..counters import Counters


def usage_of(raw: object) -> Usage | None:
    """The Usage that a decoded `usage` object states; None where there is none.

    A figure that cannot be true (negative, no integer, beyond a billion, a part larger than its whole) is read as 0 or
    clamped, and makes the usage suspect.
    """
    if not isinstance(raw, dict):
        return None
    reader = Counters()
    written = reader.count(raw.get("cacheWriteInputTokens"))
    for_an_hour = reader.count(_for_an_hour(raw.get("cacheDetails")), of=written)
    return Usage(
        input=reader.count(raw.get("inputTokens")),
        cache_read=reader.count(raw.get("cacheReadInputTokens")),
        cache_write=written - for_an_hour,
        cache_write_1h=for_an_hour,
        output=reader.count(raw.get("outputTokens")),
        source=UsageSource.PROVIDER,
        suspect=reader.suspect,
    )


def _for_an_hour(details: object) -> object:
    """Of what was written to the cache, what stays for an hour."""
    for each in details if isinstance(details, list) else ():
        if isinstance(each, dict) and each.get("ttl") == "1h":
            return each.get("inputTokens")
    return None
