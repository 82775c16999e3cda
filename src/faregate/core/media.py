"""What models are asked for besides answers, in no provider's words: vectors of texts."""

import msgspec

from .usage import Usage

Vector = list[float]


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts, or texts as lists of tokens, of which each is to become a vector of so many `dimensions`. `purpose` is
    what the vectors are for, in the words that most hosts have for it (`search_query`, say). `extra` names what else
    its client said, of which nobody else knows anything."""

    inputs: tuple[str | list[int], ...]
    dimensions: int | None = None
    purpose: str | None = None
    extra: tuple[str, ...] = ()


class Embeddings(msgspec.Struct, frozen=True):
    """A vector for each input, in their order. `model` is the provider's name for it, None where it gives none."""

    vectors: list[Vector]
    usage: Usage | None = None
    model: str | None = None
