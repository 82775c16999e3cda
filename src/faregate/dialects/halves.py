"""Halves of surrogate pairs. JavaScript cuts strings between the two halves of a character beyond U+FFFF, so a stream
from an upstream written in it may say `\\ud83d` in one event and `\\ude80` in the next. Neither is a character, and no
UTF-8 can hold it; yet together they are what the model said. A half is sheltered as a private-use character while its
event is parsed, and written as the escape it was when the event is rendered."""

import re

_ESCAPE = re.compile(rb"((?<!\\)(?:\\\\)*)\\u([dD][89a-fA-F][0-9a-fA-F]{2})")
_SHELTERED = re.compile(rb"\xf3\xbd([\xa0-\xbf])([\x80-\xbf])")  # U+FD800 to U+FDFFF, a plane nobody writes text in
_FIRST_HALF = re.compile("[\U000fd800-\U000fdbff]")
_HALVES = re.compile("([\U000fd800-\U000fdbff])([\U000fdc00-\U000fdfff])|[\U000fd800-\U000fdfff]")


def may_hold_halves(data: bytes) -> bool:
    """Whether JSON bytes have an escape of a surrogate at all."""
    return b"\\ud" in data or b"\\uD" in data


def shelter_halves(data: bytes) -> bytes:
    """JSON bytes with every escape of a surrogate, U+D800 + n, as the character U+FD800 + n."""
    return _ESCAPE.sub(lambda found: found[1] + chr(0xF0000 + int(found[2], 16)).encode(), data)


def restore_halves(data: bytes) -> bytes:
    """JSON bytes with the sheltered halves as escapes again."""
    return _SHELTERED.sub(lambda found: b"\\u%x" % (0xD800 + (found[1][0] % 32 << 6 | found[2][0] % 64)), data)


class HalvesJoined:
    """Puts sheltered halves together, for a reader of texts that come in pieces. A half without its other is U+FFFD."""

    def __init__(self) -> None:
        self._held: dict[object, str] = {}

    def join(self, place: object, text: str) -> str:
        """The characters that the next piece of the text at `place` completes."""
        if not text:
            return text
        text = self._held.pop(place, "") + text
        if _FIRST_HALF.match(text[-1]):
            self._held[place] = text[-1]
            text = text[:-1]
        return _HALVES.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    if found[1] is None:
        return "\ufffd"
    first, second = ord(found[1]) - 0xFD800, ord(found[2]) - 0xFDC00
    return chr(0x10000 + (first << 10 | second))
