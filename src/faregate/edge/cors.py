"""Cross-origin headers: none, unless the operator lists origins (security.md S7). Never `*`, never credentials."""

from ..wire.messages import header_lines

_METHODS = "GET, POST, OPTIONS"
_MAX_AGE_S = "600"
_EXPOSED = "x-request-id, retry-after, x-faregate-replayed"


class Cors:
    """The origins that may call from a browser."""

    def __init__(self, origins: tuple[str, ...] = ()) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def lines(self, origin: bytes) -> bytes:
        """What an answer to `origin` says; nothing to one that is not listed."""
        if origin not in self._origins:
            return b"vary: origin\r\n"
        return header_lines(
            [
                ("access-control-allow-origin", origin.decode("ascii")),
                ("access-control-expose-headers", _EXPOSED),
                ("vary", "origin"),
            ]
        )

    def preflight(self, origin: bytes) -> bytes:
        """What an answer to a preflight of `origin` says besides."""
        if origin not in self._origins:
            return b""
        return header_lines(
            [
                ("access-control-allow-methods", _METHODS),
                ("access-control-allow-headers", "*, authorization"),
                ("access-control-max-age", _MAX_AGE_S),
            ]
        )
