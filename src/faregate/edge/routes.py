"""Path -> operation, nothing else."""

import urllib.parse
from collections.abc import Iterable
from typing import NamedTuple


class Route(NamedTuple):
    """What a path means. `argument` is the decoded rest of a path that names one thing; `is_call` tells whether a
    provider is asked, `is_shared` that the same path is of several dialects, told apart by the header. `name` is the
    path as the documentation has it, under a house's prefix; `is_off` that the house has switched it off."""

    operation: str
    dialect: str
    methods: tuple[str, ...]
    argument: str = ""
    is_call: bool = False
    is_shared: bool = False
    name: str = ""
    is_off: bool = False


_POST = ("POST", "OPTIONS")
_GET = ("GET", "HEAD", "OPTIONS")

_EXACT = {
    path: route._replace(name=path.decode())
    for path, route in {
        b"/chat/completions": Route("chat", "openai_chat", _POST, is_call=True),
        b"/completions": Route("completions", "openai_completions", _POST, is_call=True),
        b"/embeddings": Route("embeddings", "openai_embeddings", _POST, is_call=True),
        b"/responses": Route("chat", "openai_responses", _POST, is_call=True),
        b"/messages": Route("chat", "anthropic_messages", _POST, is_call=True),
        b"/messages/count_tokens": Route("count_tokens", "anthropic_messages", _POST, argument="count_tokens"),
        b"/quote": Route("quote", "openai_chat", _POST),
        b"/models": Route("models", "openai_chat", _GET, is_shared=True),
    }.items()
}
_UNDER = tuple(  # how a path begins and ends, and what it means
    (start, end, route._replace(name=f"{start.decode()}{{id}}{end.decode()}"))
    for start, end, route in (
        (b"/models/", b"", Route("model", "openai_chat", _GET, is_shared=True)),
        (b"/responses/", b"/cancel", Route("response", "openai_responses", _POST)),
        (b"/responses/", b"", Route("response", "openai_responses", ("GET", "HEAD", "DELETE", "OPTIONS"))),
        (b"/requests/", b"", Route("request", "openai_chat", _GET)),
    )
)
_MODELS = b"/models/"
_VERBS = {  # what Gemini's clients append to a model's name, after its last colon
    verb: route._replace(name=f"/models/{{id}}:{verb.decode()}")
    for verb, route in {
        b"generateContent": Route("chat", "gemini_generate", _POST, is_call=True),
        b"streamGenerateContent": Route("chat", "gemini_generate", _POST, is_call=True),
        b"embedContent": Route("embeddings", "gemini_embeddings", _POST, is_call=True),
        b"batchEmbedContents": Route("embeddings", "gemini_embeddings", _POST, is_call=True),
        b"countTokens": Route("count_tokens", "gemini_generate", _POST),
    }.items()
}
PROBES = {
    b"/healthz": Route("healthz", "openai_chat", _GET),
    b"/readyz": Route("readyz", "openai_chat", _GET),
    b"/metrics": Route("metrics", "openai_chat", _GET),
    b"*": Route("server", "openai_chat", ("GET", "HEAD", "POST", "DELETE", "OPTIONS")),  # only OPTIONS asks for it
}
NAMES = frozenset(route.name for route in (*_EXACT.values(), *(each for *_, each in _UNDER), *_VERBS.values()))


class Routes:
    """The routes under a house's prefixes, those that are `off` by name marked. Gemini's clients add "beta" to a prefix
    that ends in a version."""

    def __init__(self, prefixes: Iterable[str], off: Iterable[str] = ()) -> None:
        self._prefixes = tuple(prefix.encode() for prefix in prefixes)
        self._off = frozenset(off)
        exact = {path: self._marked(route) for path, route in _EXACT.items()}
        self._whole = {prefix + path: route for prefix in self._prefixes for path, route in exact.items()} | PROBES

    def match(self, path: bytes) -> Route | None:
        """The route of a path as it came, query excluded; None where there is none."""
        found = self._whole.get(path)
        if found is not None:
            return found
        found = self._by_parts(path)
        return None if found is None else self._marked(found)

    def _marked(self, route: Route) -> Route:
        """A route that is off is refused in the house's own dialect: it does not speak that route's."""
        if route.name not in self._off:
            return route
        return route._replace(is_off=True, dialect="openai_chat", is_shared=False)

    def _by_parts(self, path: bytes) -> Route | None:
        decoded = urllib.parse.unquote_to_bytes(path)
        for prefix in self._prefixes:
            if decoded.startswith(prefix + b"beta/"):
                rest = decoded[len(prefix) + 4 :]
                return _in_beta(rest.rstrip(b"/") or rest)
            if not decoded.startswith(prefix + b"/"):
                continue
            rest = decoded[len(prefix) :]
            if rest.startswith(b"/v1/"):  # a client that adds /v1 to a base URL which has it (contract.md 5.8)
                rest = rest[3:]
            elif rest.startswith(b"/v1beta/"):
                return _in_beta(rest[7:])
            rest = rest.rstrip(b"/") or rest
            if rest in _EXACT:
                return _EXACT[rest]
            return _verb(rest) or _named(rest)
        return None


def _in_beta(rest: bytes) -> Route | None:
    """A path under /v1beta, which is Gemini's alone."""
    if rest == b"/models":
        return _EXACT[rest]._replace(dialect="gemini_generate", is_shared=False)
    if not rest.startswith(_MODELS):
        return None
    found = _named(rest)
    return _verb(rest) or (found and found._replace(dialect="gemini_generate", is_shared=False))


def _verb(rest: bytes) -> Route | None:
    """Something that is to be done with a model."""
    route = _VERBS.get(rest.rpartition(b":")[2])
    if route is None or not rest.startswith(_MODELS):
        return None
    return route._replace(argument=rest[len(_MODELS) :].decode("utf-8", "replace"))


def _named(rest: bytes) -> Route | None:
    """One thing by its name."""
    for start, end, route in _UNDER:
        argument = rest[len(start) :]
        if rest.startswith(start) and argument and rest.endswith(end):
            return route._replace(argument=argument.decode("utf-8", "replace"))
    return None
