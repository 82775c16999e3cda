"""OpenAI's embeddings. Sources: platform.openai.com, "Create embeddings"; the words of its refusals as it says them."""

from typing import Any

import msgspec

from .. import vectors
from ..answer import Answer
from ..counts import counts
from ..faults import Plan
from ..question import Question
from ..refused import Refused
from ..traits import traits_of
from ..wires import Asked, Call
from .request import EVENTS, decoded

INPUTS_MAX = 2048

_WIDTH = 1536
_WIDEST = 3072
_FORMATS = ("float", "base64")


class EmbeddingsBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/embeddings. Members that mean nothing here are let pass."""

    model: str
    input: Any = None
    encoding_format: Any = None
    dimensions: int | None = None
    simulator: Plan = Plan()


_BODY = msgspec.json.Decoder(EmbeddingsBody)


def read(data: bytes, _call: Call) -> Asked:
    """The texts in `data`; Refused where there are none."""
    body: EmbeddingsBody = decoded(_BODY, data)
    prompts = _prompts(body.input)
    if body.encoding_format not in (None, *_FORMATS):
        said = f"Invalid value for 'encoding_format' = {body.encoding_format}. Supported values: {list(_FORMATS)}."
        raise Refused(said, param="encoding_format")
    _check_width(body)
    question = Question(model=body.model, id_start="", prompts=tuple(prompts), plan=body.simulator)
    return Asked(question=question, body=body, framing=EVENTS)


def _prompts(sent: Any) -> list[str | list[int]]:
    """The inputs, all texts or all lists of tokens. A list of numbers is one input."""
    if sent is None:
        raise Refused("Please submit an `input`.", param="input")
    if sent == []:
        raise Refused("Invalid 'input': input cannot be an empty array.", param="input")
    is_one = isinstance(sent, str) or (isinstance(sent, list) and not isinstance(sent[0], str | list))
    prompts = [sent] if is_one else sent
    if not isinstance(prompts, list) or len({type(prompt) for prompt in prompts}) > 1:
        raise _unreadable()
    if len(prompts) > INPUTS_MAX:
        raise Refused(f"Invalid 'input': array length must be {INPUTS_MAX} or less.", param="input")
    for prompt in prompts:
        if prompt == "":
            raise Refused("Invalid 'input': input cannot be an empty string.", param="input")
        if not isinstance(prompt, str) and not _is_tokens(prompt):
            raise _unreadable()
    return prompts


def _is_tokens(prompt: Any) -> bool:
    return bool(prompt) and all(type(token) is int and token >= 0 for token in prompt)


def _unreadable() -> Refused:
    return Refused("Invalid 'input': expected a string or token array.", param="input")


def _check_width(body: EmbeddingsBody) -> None:
    width = body.dimensions
    if width is None:
        return
    traits = traits_of(body.model)
    if not traits.resized:
        raise Refused("This model does not support specifying dimensions.")
    widest = traits.widest or _WIDEST
    if not 0 < width <= widest:
        must = f"less than or equal to {widest}" if width > 0 else "greater than 0"
        raise Refused(f"Invalid value for 'dimensions' = {width}. Must be {must}.", param="dimensions")


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The embeddings, as numbers or as bytes."""
    body: EmbeddingsBody = asked.body
    write = vectors.encoded if body.encoding_format == "base64" else vectors.values
    width = body.dimensions or traits_of(body.model).width or _WIDTH
    data = [
        {"object": "embedding", "index": index, "embedding": write(prompt, width)}
        for index, prompt in enumerate(asked.question.prompts)
    ]
    return {"object": "list", "data": data, "model": answer.model, **_used(asked, answer)}


def _used(asked: Asked, answer: Answer) -> dict[str, Any]:
    fault = asked.question.plan.usage
    if fault in ("absent", "null"):
        return {} if fault == "absent" else {"usage": None}
    counted = counts(answer, fault)
    tokens = counted.form(counted.prompt)
    return {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
