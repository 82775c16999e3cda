"""Embeddings: vectors that follow from a text alone, so on every wire and from any model the same.

They are of unit length. Their numbers are 32-bit floats, so that what is written in decimals and what is written in
bytes is the same to the last bit. A narrower vector is the beginning of a wider one, made longer again.
"""

import base64
import hashlib
import math
import struct

Prompt = str | list[int]


def values(prompt: Prompt, width: int) -> list[float]:
    """The vector of a text or of tokens."""
    return list(struct.unpack(f"<{width}f", packed(prompt, width)))


def packed(prompt: Prompt, width: int) -> bytes:
    """The vector as 32-bit floats, the lowest byte first."""
    seed = repr(("embedding", prompt)).encode("utf-8", "surrogatepass")
    drawn = struct.unpack(f"<{width}h", hashlib.shake_256(seed).digest(2 * width))
    odd = [2 * each + 1 for each in drawn]  # never zero, so that there is a length to divide by
    length = math.hypot(*odd)
    return struct.pack(f"<{width}f", *[each / length for each in odd])


def encoded(prompt: Prompt, width: int) -> str:
    """The vector's bytes in base64."""
    return base64.b64encode(packed(prompt, width)).decode()
