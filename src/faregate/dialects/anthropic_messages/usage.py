"""The Messages API's usage as disjoint counters (conformance 2.4): its input excludes what was cached."""

from ...core.usage import Usage, UsageSource
from ..counters import Counters, mapping

_KINDS = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


def usage_of(raw: object) -> Usage | None:
    """The Usage that a decoded `usage` object states; None where there is none.

    A figure that cannot be true (negative, no integer, beyond a billion, a part larger than its whole) is read as 0 or
    clamped, and makes the usage suspect.
    """
    if not isinstance(raw, dict):
        return None
    reader = Counters()
    kinds = mapping(raw.get("cache_creation"))
    said = raw.get("cache_creation_input_tokens")
    written = sum(reader.count(kinds.get(kind)) for kind in _KINDS) if said is None else reader.count(said)
    for_an_hour = reader.count(kinds.get("ephemeral_1h_input_tokens"), of=written)
    output = reader.count(raw.get("output_tokens"))
    reasoning = reader.count(mapping(raw.get("output_tokens_details")).get("thinking_tokens"), of=output)
    return Usage(
        input=reader.count(raw.get("input_tokens")),
        cache_read=reader.count(raw.get("cache_read_input_tokens")),
        cache_write=written - for_an_hour,
        cache_write_1h=for_an_hour,
        output=output - reasoning,
        reasoning=reasoning,
        searches=reader.count(mapping(raw.get("server_tool_use")).get("web_search_requests")),
        source=UsageSource.PROVIDER,
        suspect=reader.suspect,
    )


def usage_shown(usage: Usage) -> dict[str, object]:
    """A Usage as the Messages API states it."""
    written = usage.cache_write + usage.cache_write_1h
    shown: dict[str, object] = {
        "input_tokens": usage.prompt - usage.cache_read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.completion,
    }
    if written:
        shown["cache_creation"] = dict(zip(_KINDS, (usage.cache_write, usage.cache_write_1h), strict=True))
    if usage.reasoning:
        shown["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        shown["server_tool_use"] = {"web_search_requests": usage.searches}
    return shown


class UsageSoFar:
    """A stream's usage: what comes later replaces what was said before, member by member (conformance 2.4)."""

    def __init__(self) -> None:
        self._said: dict[str, object] = {}

    def take(self, raw: object) -> Usage | None:
        """What is known with this `usage` object; None where it is none."""
        if not isinstance(raw, dict):
            return None
        self._said |= {name: value for name, value in raw.items() if value is not None}
        return usage_of(self._said)
