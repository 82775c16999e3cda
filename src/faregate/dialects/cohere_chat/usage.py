"""Cohere's usage as disjoint counters.

It states two sets of figures: `tokens`, all that the model read and wrote, and `billed_units`, what of them is paid
for; the difference is tokens that Cohere adds by itself, which nobody is charged for (docs.cohere.com, "How Does
Cohere's Pricing Work?", billed and generic tokens). A call is settled on what is billed, since it is what the provider
will ask for, and on `tokens` only where nothing else is said. What was thought is not told apart from what was said.
`cached_tokens` are those of the prompt that the provider had in its cache (API reference, Chat, `usage`).
"""

from ...core.usage import Usage, UsageSource
from ..counters import TOKENS_MAX, Counters, mapping


def usage_of(raw: object) -> Usage | None:
    """The Usage that a decoded `usage` object states; None where there is none.

    A figure that cannot be true (negative, fractional, no number, beyond a billion, more from the cache than was read)
    is read as 0 or clamped, and makes the usage suspect.
    """
    if not isinstance(raw, dict):
        return None
    billed, read = mapping(raw.get("billed_units")), mapping(raw.get("tokens"))
    stated = billed if _has_tokens(billed) else read
    if not _has_tokens(stated):
        return None
    reader = Counters()
    prompt = _count(reader, stated.get("input_tokens"))
    # The cache may hold what is not billed: only more than was read at all cannot be true.
    whole = max(prompt, _count(Counters(), read.get("input_tokens")))
    cached = min(_count(reader, raw.get("cached_tokens"), of=whole), prompt)
    return Usage(
        input=prompt - cached,
        cache_read=cached,
        output=_count(reader, stated.get("output_tokens")),
        searches=_count(reader, billed.get("search_units")),
        source=UsageSource.PROVIDER,
        suspect=reader.suspect,
    )


def _has_tokens(figures: dict[str, object]) -> bool:
    return figures.get("input_tokens") is not None or figures.get("output_tokens") is not None


def _count(reader: Counters, value: object, of: int = TOKENS_MAX) -> int:
    """A count; the API has them as doubles."""
    return reader.count(int(value) if type(value) is float and value.is_integer() else value, of)
