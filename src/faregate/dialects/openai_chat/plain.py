"""Events that differ from the one before in their words alone, as nearly all of a stream do. Such a one is written as
that one was, with its own words in it, and not decoded: what it would do otherwise was just done."""

import re
from typing import Any

from .. import Observed
from ..counters import tokens_in

PATTERNS_MAX = 8  # that are tried in vain, one after the other: what some hosts write differs in more, every time

_WORDS = re.compile(rb'[^"\\\x00-\x1f]+').fullmatch  # of a JSON string: nothing that is written otherwise than it is
_CONTENT = re.compile(rb'"content"\s*:\s*"([^"\\\x00-\x1f]+)"').search
_COLON = re.compile(rb'\s*:\s*"').match
_QUOTE = b'"'[0]


class Pattern:
    """What stands around the words, in the upstream's event and in the client's."""

    __slots__ = ("_after", "_before", "_shown_after", "_shown_before")

    def __init__(self, around: tuple[bytes, bytes], shown_around: tuple[bytes, bytes]) -> None:
        self._before, self._after = around
        self._shown_before, self._shown_after = shown_around

    def shown(self, data: bytes, observed: Observed) -> bytes | None:
        """The client's event for one of this pattern, which is counted; None for any other bytes."""
        start, end = len(self._before), len(data) - len(self._after)
        if data[:start] != self._before or data[end:] != self._after or start >= end:
            return None
        words = data[start:end]
        if _WORDS(words) is None:
            return None
        try:
            observed.deltas += tokens_in(len(words) if words.isascii() else len(words.decode()))
        except UnicodeDecodeError:
            return None
        return self._shown_before + words + self._shown_after


def only_words(delta: dict[str, Any]) -> tuple[str, str] | None:
    """The one member of a delta that says anything, where that is words."""
    said = [(name, value) for name, value in delta.items() if value]
    return said[0] if len(said) == 1 and isinstance(said[0][1], str) else None


def pattern_of(data: bytes, shown: bytes, said: tuple[str, str]) -> Pattern | None:
    """The pattern of an event whose bytes are `data`, and of what the client is shown of it; None where it has none."""
    member, words = b'"%b"' % said[0].encode(), said[1].encode()
    around, shown_around = _around(data, member, words), _around(shown, member, words)
    return None if around is None or shown_around is None else Pattern(around, shown_around)


def content_pattern_of(data: bytes, shown: bytes) -> Pattern | None:
    """As pattern_of, for an event that says its words in `content` and is not decoded."""
    content = _CONTENT(data)
    if content is None:
        return None
    around, shown_around = _around(data, b'"content"', content[1]), _around(shown, b'"content"', content[1])
    return None if around is None or shown_around is None else Pattern(around, shown_around)


def _around(data: bytes, member: bytes, words: bytes) -> tuple[bytes, bytes] | None:
    at = data.find(member)
    colon = None if at < 0 or data.count(member) > 1 else _COLON(data, at + len(member))
    if colon is None or _WORDS(words) is None:
        return None
    start, end = colon.end(), colon.end() + len(words)
    return (data[:start], data[end:]) if data[start:end] == words and data[end] == _QUOTE else None
