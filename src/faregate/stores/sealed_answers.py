"""Answers under idempotency keys as they stand in the database: encrypted, and each only in its own place.

Theory of operation. What a row is of (project, idempotency key, request) is authenticated with it (sealing.py), so that
an answer that is put in another row's place does not open. A row that does not open, be it tampered with or of another
pepper, is no answer at all.
"""

import msgspec

from .idempotency import Claim, KeptAnswer
from .pepper import Pepper
from .sealing import AesGcm

_INFO = b"faregate idempotency answer v1"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptAnswer)


class AesSeal:
    """Seals answers, and opens them."""

    def __init__(self, pepper: Pepper) -> None:
        self._cipher = AesGcm(pepper, _INFO)

    def seal(self, claim: Claim, answer: KeptAnswer) -> bytes:
        """An answer as it may be stored."""
        return self._cipher.seal((claim.project_id, claim.key, claim.request_id), _encoder.encode(answer))

    def open(self, project_id: str, key: str, request_id: str, sealed: bytes) -> KeptAnswer | None:
        """The answer to a request that is stored so; None where it does not open."""
        data = self._cipher.open((project_id, key, request_id), sealed)
        try:
            return None if data is None else _decoder.decode(data)
        except msgspec.DecodeError:
            return None
