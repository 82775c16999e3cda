"""Proofs that something was said here: made, and checked when they come back. Nothing is remembered for it.

Real providers sign thoughts (Anthropic's `signature`, Gemini's `thoughtSignature`, OpenAI's `encrypted_content`) and
refuse those that are not theirs. A proof here is a nonce and a keyed digest of the nonce and what it is of.
"""

import base64
import binascii
import hashlib

from .dice import Dice

_KEY = b"faregate simulator"
_NONCE_BYTES = 12
_DIGEST_BYTES = 36


def signature(dice: Dice, *subject: object) -> str:
    """A proof of `subject`, as base64 text; another one with other dice."""
    nonce = bytes.fromhex(dice.hex(2 * _NONCE_BYTES))
    return base64.b64encode(nonce + _digest(nonce, subject)).decode()


def is_genuine(proof: object, *subject: object) -> bool:
    """Whether `proof` was made here for `subject`. Both alphabets of base64 will do, as Gemini has it."""
    if not isinstance(proof, str):
        return False
    try:
        data = base64.b64decode(proof.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    nonce, digest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
    return len(nonce) == _NONCE_BYTES and digest == _digest(nonce, subject)


def _digest(nonce: bytes, subject: tuple[object, ...]) -> bytes:
    data = nonce + repr(subject).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, key=_KEY, digest_size=_DIGEST_BYTES).digest()
