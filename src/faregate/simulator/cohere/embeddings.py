"""Cohere's embeddings of texts, version 2; none of pictures. Sources: its API reference, "Embed" (v2), and "Errors"."""

from collections.abc import Callable
from typing import Any

from .. import vectors
from ..answer import Answer
from ..checked import Place, many, mapping, maybe, members, number, one_of, text
from ..counts import counts
from ..question import Question
from ..refused import Refused
from ..traits import Traits, traits_of
from ..wires import Asked, Call
from . import tables
from .request import EVENTS, decoded, planned

TEXTS_MAX = 96
WIDTHS = (256, 512, 1024, 1536)

_WIDTH = 1536
_PURPOSES = ("search_document", "search_query", "classification", "clustering", "image")
_HALF = 128


def _bits(prompt: vectors.Prompt, width: int) -> list[int]:
    """A bit for each number, eight to a byte: whether it is above zero."""
    said = "".join("1" if each > 0 else "0" for each in vectors.values(prompt, width))
    return [int(said[start : start + 8].ljust(8, "0"), 2) for start in range(0, width, 8)]


def _whole_numbers(prompt: vectors.Prompt, width: int) -> list[int]:
    return [round(each * (_HALF - 1)) for each in vectors.values(prompt, width)]


_FORMS: dict[str, Callable[[vectors.Prompt, int], Any]] = {
    "float": vectors.values,
    "int8": _whole_numbers,
    "uint8": lambda prompt, width: [each + _HALF for each in _whole_numbers(prompt, width)],
    "binary": lambda prompt, width: [each - _HALF for each in _bits(prompt, width)],
    "ubinary": _bits,
    "base64": vectors.encoded,
}
_EMBEDDED = members(
    {"model": text, "texts": many(text)},
    {
        "input_type": maybe(one_of(*_PURPOSES)),
        "embedding_types": maybe(many(one_of(*_FORMS), 1)),
        "output_dimension": maybe(number(whole=True)),
        "max_tokens": maybe(number(1, whole=True)),
        "truncate": maybe(one_of("NONE", "START", "END")),
        "priority": maybe(number(0, 999, whole=True)),
        "simulator": mapping,
    },
)


def read(data: bytes, _call: Call) -> Asked:
    """The texts in `data`; Refused where there are none."""
    body = _EMBEDDED(decoded(data), Place((), tables.words))
    texts = body["texts"]
    if not texts:
        raise Refused("invalid request: list of texts must not be empty")
    if len(texts) > TEXTS_MAX:
        raise Refused(f"invalid request: total number of texts must be at most {TEXTS_MAX} - received {len(texts)}")
    traits = traits_of(body["model"])
    if traits.purposes and body.get("input_type") is None:
        raise Refused("invalid request: valid input_type must be provided with the provided model")
    _check_width(body.get("output_dimension"), traits)
    question = Question(model=body["model"], id_start="", prompts=tuple(texts), plan=planned(body))
    return Asked(question=question, body=body, framing=EVENTS)


def _check_width(width: int | None, traits: Traits) -> None:
    if width is None:
        return
    if not traits.resized:
        raise Refused("invalid request: output_dimension is not supported with the provided model")
    if width not in WIDTHS:
        supported = " ".join(map(str, WIDTHS))
        said = f"{width} is not a valid output_dimension value for this model, [{supported}] is supported"
        raise Refused(said, status=422)


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The embeddings, in each of the forms asked for."""
    body, prompts = asked.body, asked.question.prompts
    width = body.get("output_dimension") or traits_of(asked.question.model).width or _WIDTH
    forms = body.get("embedding_types") or ["float"]
    return {
        "id": answer.id,
        "embeddings": {form: [_FORMS[form](prompt, width) for prompt in prompts] for form in forms},
        "texts": list(prompts),
        "meta": {"api_version": {"version": "2"}, **_billed(asked, answer)},
        "response_type": "embeddings_by_type",
    }


def _billed(asked: Asked, answer: Answer) -> dict[str, Any]:
    fault = asked.question.plan.usage
    if fault in ("absent", "null"):
        return {} if fault == "absent" else {"billed_units": None}
    counted = counts(answer, fault)
    return {"billed_units": {"input_tokens": counted.form(counted.prompt)}}
