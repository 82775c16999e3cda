"""A whole answer that is forwarded: read for its usage, the model's name shown as it was asked for."""

from typing import Any

import msgspec

from ...core.catalog import is_form_of
from ...core.chat import ChatRequest
from ...wire.messages import BadMessage
from .. import Result
from ..splice import replace_member
from .usage import usage_of


class _Answer(msgspec.Struct):
    content: list[msgspec.Raw]
    type: str
    model: str | None = None
    usage: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Answer)


def forward_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """The client's body for an upstream's whole answer. BadMessage for what is none (HTML, empty, an error)."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    if answer.type != "message":
        raise BadMessage("the answer is no message")
    if answer.model is not None and not is_form_of(answer.model, request.model):
        body = replace_member(body, b"model", msgspec.json.encode(request.model))
    return Result(body, usage_of(answer.usage), answer.model, True)
