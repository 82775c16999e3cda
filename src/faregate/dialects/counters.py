"""Figures of a provider's usage, read without believing them."""

TOKENS_MAX = 1_000_000_000
PLAIN_EVENT_BYTES_MAX = 768  # of a stream's event that is a token or two; larger ones are looked into
_CHARACTERS_PER_TOKEN_MAX = 8  # no script has more for long
TOKEN_BYTES_MAX = 2 * _CHARACTERS_PER_TOKEN_MAX - 1  # of words that count as one token, whatever their script


def tokens_of(*texts: object) -> int:
    """How many tokens an event with these texts has at least, where nobody says so: one, as most do, or more where a
    provider puts many into one event. What is no text counts for nothing."""
    characters = 0
    for text in texts:  # by hand: this is on the way of every event
        if isinstance(text, str):
            characters += len(text)
    return tokens_in(characters)


def tokens_in(characters: int) -> int:
    """As tokens_of, for an event with so many characters in its texts."""
    return characters // _CHARACTERS_PER_TOKEN_MAX or 1


class Counters:
    """Reads token counts, and remembers whether one could not be true: negative, fractional, a string, beyond a
    billion, or a part larger than its whole."""

    __slots__ = ("suspect",)

    def __init__(self) -> None:
        self.suspect = False

    def count(self, value: object, of: int = TOKENS_MAX, *, is_needed: bool = False) -> int:
        """`value` as a count of at most `of`; what is not said is none, unless it `is_needed`."""
        if value is None and not is_needed:
            return 0
        if type(value) is int and 0 <= value <= of:
            return value
        self.suspect = True
        return of if type(value) is int and value > of and of != TOKENS_MAX else 0


def mapping(value: object) -> dict[str, object]:
    """An object within a usage object; empty where there is none."""
    return value if isinstance(value, dict) else {}
