"""A whole answer of the OpenAI chat dialect: read for its usage, and repaired where the upstream needs it."""

import msgspec

from ...core.chat import ChatRequest
from ...wire.messages import BadMessage
from .. import Result
from .exact import is_form_of, replace_member
from .repair import repair_result
from .usage import read_usage, usage_of

_ABSENT = msgspec.Raw(b"null")


class _Answer(msgspec.Struct):
    choices: msgspec.Raw
    model: str | None = None
    usage: msgspec.Raw = _ABSENT


_LIST = b"["[0]
_CHOICES_BYTES_MIN = len(b'[{"index":0}]')
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
    choices = memoryview(answer.choices)
    if len(choices) < _CHOICES_BYTES_MIN or choices[0] != _LIST:
        raise BadMessage("the answer holds no choices")
    if answer.model is not None and not is_form_of(answer.model, request.model):
        body = replace_member(body, b"model", msgspec.json.encode(request.model))
    return Result(body, read_usage(answer.usage), answer.model, True)
