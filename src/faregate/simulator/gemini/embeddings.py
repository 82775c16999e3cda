"""Gemini's embedContent and batchEmbedContents, of texts; none of pictures and sounds.

Sources: ai.google.dev, "Embeddings" (v1beta). What several parts of a content say has one vector. How many tokens it
was is said by newer models alone (traits.py), for a whole batch together.
"""

from typing import Any

from .. import vectors
from ..answer import Answer
from ..checked import Place
from ..counts import counts
from ..question import Question
from ..refused import Refused
from ..traits import traits_of
from ..wires import Asked, Call
from . import tables
from .request import EVENTS, decoded, planned

BATCH_MAX = 100

_WIDTH = 3072
_WIDEST = 3072
_ONE, _BATCH = tables.words_of("EmbedContentRequest"), tables.words_of("BatchEmbedContentsRequest")


def read(data: bytes, call: Call) -> Asked:
    """The content in `data`; Refused where there is none."""
    body = tables.EMBEDDED(decoded(data), Place((), _ONE))
    return _asked([body], body, call)


def read_batch(data: bytes, call: Call) -> Asked:
    """The contents in `data`; Refused where there are none, or too many."""
    place = Place((), _BATCH)
    body = tables.EMBEDDED_BATCH(decoded(data), place)
    requests = body.get("requests", [])
    if not requests:
        raise place.at("requests").refuse("missing")
    if len(requests) > BATCH_MAX:
        said = f"* BatchEmbedContentsRequest.requests: at most {BATCH_MAX} requests can be in one batch\n"
        raise Refused(said)
    for index, each in enumerate(requests):
        at = f"* BatchEmbedContentsRequest.requests[{index}].model"
        if not each.get("model", "").startswith("models/"):
            raise Refused(f"{at}: unexpected model name format\n")
        if each["model"] != f"models/{call.model}":
            raise Refused(f"{at}: must be the model of the batch, models/{call.model}\n")
    return _asked(requests, body, call)


def _asked(requests: list[dict[str, Any]], body: dict[str, Any], call: Call) -> Asked:
    question = Question(
        model=call.model,
        id_start="",
        prompts=tuple(_text(each["content"]) for each in requests),
        plan=planned(body),
    )
    widths = [_width(each, call.model) for each in requests]
    return Asked(question=question, body={**body, "widths": widths}, framing=EVENTS)


def _text(content: dict[str, Any]) -> str:
    parts = content.get("parts", [])
    if any("inlineData" in part or "fileData" in part for part in parts):
        raise Refused("The simulator embeds nothing but text.")
    if not parts or not all(part.get("text") for part in parts):
        raise Refused("* EmbedContentRequest.content contains an empty Part.\n")
    return "".join(part["text"] for part in parts)


def _width(request: dict[str, Any], model: str) -> int:
    width = {**request, **request.get("embedContentConfig", {})}.get("outputDimensionality")
    if width is None:
        return traits_of(model).width or _WIDTH
    if not 0 < width <= _WIDEST:
        raise Refused(f"* EmbedContentRequest.output_dimensionality: must be between 1 and {_WIDEST}\n")
    return width


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The embedding of one content."""
    return {"embedding": _embeddings(asked)[0], **_used(asked, answer)}


def whole_batch(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The embeddings of several contents."""
    return {"embeddings": _embeddings(asked), **_used(asked, answer)}


def _embeddings(asked: Asked) -> list[dict[str, Any]]:
    pairs = zip(asked.question.prompts, asked.body["widths"], strict=True)
    return [{"values": vectors.values(prompt, width)} for prompt, width in pairs]


def _used(asked: Asked, answer: Answer) -> dict[str, Any]:
    """usageMetadata: the details are of the prompt in the singular, unlike those of generateContent."""
    fault = asked.question.plan.usage
    if fault == "absent" or not traits_of(asked.question.model).embeds_counted:
        return {}
    if fault == "null":
        return {"usageMetadata": None}
    counted = counts(answer, fault)
    tokens = counted.form(counted.prompt)
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    return {"usageMetadata": {"promptTokenCount": tokens, "promptTokenDetails": details}}
