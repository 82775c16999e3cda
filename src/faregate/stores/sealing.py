"""What is stored so that nobody can read it who has the database alone, nor move it to another place.

The key is derived from the pepper, which is not in the database, and from what is sealed with it. The place is
authenticated with the data: what is put elsewhere does not open. The library takes longer to load than all of the
gateway's start is worth, so this file is imported only where something is sealed.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .pepper import Pepper

_NONCE_BYTES = 12


class AesGcm:
    """Seals bytes with AES-256-GCM, and opens them. `info` says what they are, and of which version."""

    def __init__(self, pepper: Pepper, info: bytes) -> None:
        self._cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(pepper.value))

    def seal(self, place: tuple[str, ...], data: bytes) -> bytes:
        """The data as it may be stored, with the nonce that it was sealed with."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, _joined(place))

    def open(self, place: tuple[str, ...], sealed: bytes) -> bytes | None:
        """What was sealed for that place; None where it does not open."""
        view = memoryview(sealed)
        try:
            return self._cipher.decrypt(view[:_NONCE_BYTES], view[_NONCE_BYTES:], _joined(place))
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            return None


def _joined(place: tuple[str, ...]) -> bytes:
    return "\0".join(place).encode()
