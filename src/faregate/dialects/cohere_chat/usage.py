"""Cohere's usage as disjoint counters.

It states two sets of figures: `tokens`, all that the model read and wrote, and `billed_units`, what of them is paid
for; the difference is tokens that Cohere adds by itself, which nobody is charged for (docs.cohere.com, "How Does
Cohere's Pricing Work?", billed and generic tokens). A call is settled on what is billed, since it is what the provider
will ask for, and on `tokens` only where nothing else is said. What was thought is not told apart from what was said.
`cached_tokens` are those of the prompt that the provider had in its cache (API reference, Chat, `usage`).
"""

from ...core.usage import Usage, UsageSource

_TOKENS_MAX = 1_000_000_000


def usage_of(raw: object) -> Usage | None:
    """The Usage that a decoded `usage` object states; None where there is none.

    A figure that cannot be true (negative, fractional, no number, beyond a billion, more from the cache than was read)
    is read as 0 or clamped, and makes the usage suspect.
    """
    if not isinstance(raw, dict):
        return None
    billed, read = _figures(raw.get("billed_units")), _figures(raw.get("tokens"))
    stated = billed if _has_tokens(billed) else read
    if not _has_tokens(stated):
        return None
    reader = _Reader()
    prompt = reader.count(stated.get("input_tokens"))
    # The cache may hold what is not billed: only more than was read at all cannot be true.
    whole = max(prompt, _Reader().count(read.get("input_tokens")))
    cached = min(reader.count(raw.get("cached_tokens"), of=whole), prompt)
    return Usage(
        input=prompt - cached,
        cache_read=cached,
        output=reader.count(stated.get("output_tokens")),
        searches=reader.count(billed.get("search_units")),
        source=UsageSource.PROVIDER,
        suspect=reader.suspect,
    )


def _figures(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _has_tokens(figures: dict[str, object]) -> bool:
    return figures.get("input_tokens") is not None or figures.get("output_tokens") is not None


class _Reader:
    """Reads counters and remembers whether one could not be true."""

    def __init__(self) -> None:
        self.suspect = False

    def count(self, value: object, of: int = _TOKENS_MAX) -> int:
        """`value` as a token count of at most `of`; what is not said is none. The API has them as doubles."""
        if value is None:
            return 0
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int and 0 <= value <= of:
            return value
        self.suspect = True
        return of if type(value) is int and value > of and of != _TOKENS_MAX else 0
