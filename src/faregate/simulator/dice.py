"""Determinism: numbers and words drawn from a digest, the same on every machine and in every process."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_SYLLABLES = (
    *("ba", "ke", "li", "mo", "nu", "ra", "se", "ti"),
    *("vo", "zu", "da", "fe", "gi", "ho", "ju", "la"),
)
_DRAW_BYTES = 4


class Dice:
    """An endless row of numbers that follows from `seed`."""

    __slots__ = ("_block", "_position", "_serial", "_state")

    def __init__(self, *seed: object) -> None:
        self._state = hashlib.blake2b(repr(seed).encode("utf-8", "surrogatepass")).digest()
        self._block = b""
        self._position = 0
        self._serial = 0

    def _draw(self, size_bytes: int) -> bytes:
        if self._position + size_bytes > len(self._block):
            self._serial += 1
            self._block = hashlib.blake2b(self._state + self._serial.to_bytes(8, "big")).digest()
            self._position = 0
        start = self._position
        self._position += size_bytes
        return self._block[start : start + size_bytes]

    def roll(self, sides: int) -> int:
        """A number from 0 up to, not including, `sides` (below 2**32)."""
        return int.from_bytes(self._draw(_DRAW_BYTES), "big") % sides

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.roll(len(choices))]

    def hex(self, digits: int) -> str:
        """An identifier of up to 128 hexadecimal digits."""
        return self._draw((digits + 1) // 2).hex()[:digits]

    def word(self) -> str:
        """A word of two to six letters."""
        return "".join(self.pick(_SYLLABLES) for _ in range(1 + self.roll(3)))

    def tokens(self, count: int) -> list[str]:
        """Sentences of exactly `count` tokens (tokens.py), each an item; they begin with a capital."""
        said: list[str] = []
        left_in_sentence = 0
        while len(said) < count:
            if left_in_sentence == 0:
                left_in_sentence = 4 + self.roll(8)
                word = self.word().capitalize()
                said.append(f" {word}" if said else word)
            elif left_in_sentence == 1:
                said.append(".")
            else:
                said.append(f" {self.word()}")
            left_in_sentence -= 1
        return said
