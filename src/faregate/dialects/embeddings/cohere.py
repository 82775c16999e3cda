"""Cohere's embeddings, version 2, which only providers speak (docs.cohere.com, API reference, Embed)."""

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import Inexpressible
from ...core.media import EmbeddingRequest, Embeddings, Vector
from ...wire.messages import BadMessage
from .. import Rendered
from ..bodies import NULL
from ..cohere_chat import errors
from ..counters import mapping
from ..untranslated import Untranslated
from . import stated, usage_of

# What it calls a purpose must be said (API reference, `input_type`); these are those of texts, by what others say.
_PURPOSES = {
    "search_query": "search_query",
    "query": "search_query",
    "search_document": "search_document",
    "document": "search_document",
    "passage": "search_document",
    "classification": "classification",
    "clustering": "clustering",
}
_USUAL_PURPOSE = "search_document"


class _Vectors(msgspec.Struct):
    float: list[Vector]


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: msgspec.Raw = NULL


_decoder = msgspec.json.Decoder(_Answer)


class CohereEmbeddings(Untranslated):
    """POST /v2/embed (embeddings.Form)."""

    elsewhere = "The provider of this model has no embeddings."
    name = "cohere_embeddings"
    proofs = "cohere_embeddings"

    parse_error = staticmethod(errors.parse_error)

    def path(self, _: ChatRequest, __: str) -> str:
        """See Upstream."""
        return "/embed"

    def write_request(self, asked: EmbeddingRequest, upstream_model: str) -> Rendered:
        """See Form."""
        if not all(isinstance(each, str) for each in asked.inputs):
            raise Inexpressible("The provider of this model takes texts, not tokens.", param="input")
        purpose = _PURPOSES.get(asked.purpose or "")
        body: dict[str, object] = {
            "model": upstream_model,
            "texts": asked.inputs,
            "input_type": purpose or _USUAL_PURPOSE,
            "embedding_types": ["float"],
        }
        if asked.dimensions is not None:
            body["output_dimension"] = asked.dimensions
        dropped = asked.extra if purpose or asked.purpose is None else (*asked.extra, "purpose")
        adjusted = () if purpose else (f"purpose={_USUAL_PURPOSE}",)
        return Rendered(msgspec.json.encode(body), dropped, adjusted)

    def read_result(self, body: bytes) -> Embeddings:
        """See Form."""
        try:
            answer = _decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadMessage("the answer is not the JSON it should be") from None
        billed = mapping(stated(answer.meta).get("billed_units"))
        return Embeddings(answer.embeddings.float, usage_of(billed.get("input_tokens")))
