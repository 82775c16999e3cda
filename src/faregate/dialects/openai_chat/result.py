"""A whole answer of the OpenAI chat dialect: read for its usage, and repaired where the upstream needs it."""

from typing import Any

import msgspec

from ...core.chat import ChatRequest
from ...wire.messages import BadMessage
from .. import Result
from .exact import is_form_of, replace_member
from .repair import repair_result
from .usage import usage_of


class _Answer(msgspec.Struct):
    choices: list[Any]
    model: str | None = None
    usage: dict[str, Any] | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)


def parse_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """The client's body for an upstream's whole answer. BadMessage for what is none (HTML, empty, an error)."""
    if not exact:
        repaired = repair_result(body, request)
        return Result(msgspec.json.encode(repaired), usage_of(repaired.get("usage")), repaired.get("model"), True)
    try:
        answer = _answer_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    if not answer.choices:
        raise BadMessage("the answer holds no choices")
    if answer.model is not None and not is_form_of(answer.model, request.model):
        body = replace_member(body, b"model", msgspec.json.encode(request.model))
    return Result(body, usage_of(answer.usage), answer.model, True)
