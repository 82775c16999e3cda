"""Path -> operation, nothing else."""

import urllib.parse
from typing import NamedTuple


class Route(NamedTuple):
    """What a path means. `argument` is the decoded rest of a path that names one thing; `is_call` tells whether a
    provider is asked."""

    operation: str
    dialect: str
    methods: tuple[str, ...]
    argument: str = ""
    is_call: bool = False


_POST = ("POST", "OPTIONS")
_GET = ("GET", "HEAD", "OPTIONS")

_EXACT = {
    b"/chat/completions": Route("chat", "openai_chat", _POST, is_call=True),
    b"/completions": Route("completions", "openai_completions", _POST, is_call=True),
    b"/quote": Route("quote", "openai_chat", _POST),
    b"/models": Route("models", "openai_chat", _GET),
}
_UNDER = (
    (b"/models/", Route("model", "openai_chat", _GET)),
    (b"/requests/", Route("request", "openai_chat", _GET)),
)
PROBES = {
    b"/healthz": Route("healthz", "openai_chat", _GET),
    b"/readyz": Route("readyz", "openai_chat", _GET),
    b"/metrics": Route("metrics", "openai_chat", _GET),
}


class Routes:
    """The routes under a house's prefixes."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        self._whole = {prefix.encode() + path: route for prefix in prefixes for path, route in _EXACT.items()} | PROBES
        self._prefixes = tuple(prefix.encode() for prefix in prefixes)

    def match(self, path: bytes) -> Route | None:
        """The route of a path as it came, query excluded; None where there is none."""
        return self._whole.get(path) or self._by_parts(path)

    def _by_parts(self, path: bytes) -> Route | None:
        decoded = urllib.parse.unquote_to_bytes(path)
        for prefix in self._prefixes:
            if not decoded.startswith(prefix + b"/"):
                continue
            rest = decoded[len(prefix) :]
            if rest.startswith(b"/v1/"):  # a client that adds /v1 to a base URL which has it (contract.md 5.8)
                rest = rest[3:]
            rest = rest.rstrip(b"/") or rest
            if rest in _EXACT:
                return _EXACT[rest]
            for start, route in _UNDER:
                argument = rest[len(start) :]
                if rest.startswith(start) and argument:
                    return route._replace(argument=argument.decode("utf-8", "replace"))
        return None
