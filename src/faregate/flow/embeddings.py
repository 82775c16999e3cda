"""Vectors of texts: as chat, but that there is no conversation to translate, and that no other model can stand in."""

import msgspec

from ..core.call import Call
from ..core.catalog import Candidate
from ..core.errors import Inexpressible, MalformedRequest
from ..dialects import Addressee, Result, StreamTransform
from ..dialects.embeddings import ClientForm, Form, check_shape
from ..dialects.table import CLIENT_EMBEDDINGS, EMBEDDINGS
from ..providers import Provider
from .gate import Gate
from .meter import usage_of_result

OPERATION = "embeddings"


class Embedded:
    """Client and provider have different forms (translation.Speech)."""

    __slots__ = ("_call", "_client", "upstream")

    def __init__(self, client: ClientForm, upstream: Form, call: Call) -> None:
        self._client = client
        self._call = call
        self.upstream = upstream

    def request(self, addressee: Addressee) -> bytes:
        """See Speech."""
        call, names = self._call, self._client.parameters
        try:
            rendered = self.upstream.write_request(self._client.read_request(call.request), addressee.model)
        except Inexpressible as error:
            param = error.param or ""
            raise Inexpressible(error.message, param=names.get(param, param)) from None
        dropped = tuple(names.get(name, name) for name in rendered.dropped)
        if dropped and call.is_strict:
            raise Inexpressible(f"The provider of this model cannot be told '{dropped[0]}'.", param=dropped[0])
        call.dropped = dropped
        said = (word.partition("=") for word in rendered.adjusted)
        call.adjusted = tuple(f"{names.get(name, name)}={value}" for name, _, value in said)
        return rendered.body

    def whole(self, raw: bytes) -> Result:
        """See Speech. MalformedRequest where the vectors are not as wide as they were to be."""
        request = self._call.request
        given = self.upstream.read_result(raw)
        dimensions = self._client.read_request(request).dimensions
        param = self._client.parameters.get("dimensions", "dimensions")
        check_shape([len(vector) for vector in given.vectors], [dimensions] * request.messages, param)
        usage = usage_of_result(request, given.usage, len(raw))  # told as it is charged
        given = msgspec.structs.replace(given, usage=usage)
        return Result(self._client.write_result(given, request), usage, given.model, True)

    def stream(self) -> StreamTransform:
        """See Speech. There are none."""
        raise MalformedRequest(f"There are no streams of {OPERATION}.", param="stream")


def form_of(provider: Provider, call: Call) -> Form | None:
    """The form in which a provider is asked for vectors: the client's own, if it can be; None where it has none."""
    if call.dialect in provider.dialects:
        return CLIENT_EMBEDDINGS[call.dialect]
    return next((form for name in provider.dialects if (form := EMBEDDINGS.get(name)) is not None), None)


def prepare(gate: Gate, call: Call, candidates: tuple[Candidate, ...]) -> None:
    """Whether any target of a model has embeddings. MalformedRequest."""
    for candidate in candidates:
        if any(form_of(gate.providers[target.provider], call) for target in candidate.targets):
            return
    raise MalformedRequest("The provider of this model has no embeddings.", param="model")


def speech_of(provider: Provider, call: Call) -> Embedded:
    """How a call is put to a provider whose form is another. Inexpressible where it has none."""
    form = form_of(provider, call)
    if form is None:
        raise Inexpressible("The provider of this model has no embeddings.", param="model")
    return Embedded(CLIENT_EMBEDDINGS[call.dialect], form, call)
