"""Answers under idempotency keys as they stand in the database: encrypted, and each only in its own place.

Theory of operation. The key is derived from the pepper, which is not in the database: who has the database alone can
read nothing. What a row is of (project, idempotency key, request) is authenticated with it, so that an answer that is
put in another row's place does not open. A row that does not open, be it tampered with or of another pepper, is no
answer at all.

app.py alone imports this file, where the operator wants answers stored: the library takes longer to load than all of
the gateway's start is worth.
"""

import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .idempotency import Claim, KeptAnswer
from .pepper import Pepper

_INFO = b"faregate idempotency answer v1"
_NONCE_BYTES = 12
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptAnswer)


class AesSeal:
    """Seals answers with AES-256-GCM, and opens them."""

    def __init__(self, pepper: Pepper) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(pepper.value)
        self._cipher = AESGCM(key)

    def seal(self, claim: Claim, answer: KeptAnswer) -> bytes:
        """An answer as it may be stored, with the nonce that it was sealed with."""
        nonce = os.urandom(_NONCE_BYTES)
        place = _place(claim.project_id, claim.key, claim.request_id)
        return nonce + self._cipher.encrypt(nonce, _encoder.encode(answer), place)

    def open(self, project_id: str, key: str, request_id: str, sealed: bytes) -> KeptAnswer | None:
        """The answer to a request that is stored so; None where it does not open."""
        view = memoryview(sealed)
        try:
            data = self._cipher.decrypt(view[:_NONCE_BYTES], view[_NONCE_BYTES:], _place(project_id, key, request_id))
            return _decoder.decode(data)
        except (InvalidTag, ValueError, msgspec.DecodeError):  # ValueError: too short for a nonce
            return None


def _place(project_id: str, key: str, request_id: str) -> bytes:
    return "\0".join((project_id, key, request_id)).encode()
