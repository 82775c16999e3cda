"""A whole answer of the OpenAI chat dialect: read for its usage, and repaired where the upstream needs it."""

import msgspec

from ...core.catalog import is_form_of
from ...core.chat import ChatRequest
from ...core.usage import Usage
from ...wire.messages import BadMessage
from .. import Result
from ..splice import member_value, replace_member
from .exact import split_usage
from .repair import repair_result
from .usage import PlainUsage, usage_of, usage_of_plain, with_cache_split

_ABSENT = msgspec.Raw(b"null")


class _Answer(msgspec.Struct):
    choices: msgspec.Raw
    model: str | None = None
    usage: PlainUsage | None = None


class _OddAnswer(msgspec.Struct):
    """An answer whose usage is not what it should be."""

    choices: msgspec.Raw
    model: str | None = None
    usage: msgspec.Raw = _ABSENT


_LIST = b"["[0]
_CHOICES_BYTES_MIN = len(b'[{"index":0}]')
_answer_decoder = msgspec.json.Decoder(_Answer)
_odd_answer_decoder = msgspec.json.Decoder(_OddAnswer)


def forward_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """The client's body for an upstream's whole answer. BadMessage for what is none (HTML, empty, an error)."""
    if not exact:
        repaired = repair_result(body, request)
        if request.splits_cache and "usage" in repaired:
            repaired["usage"] = with_cache_split(repaired["usage"])
        return Result(msgspec.json.encode(repaired), usage_of(repaired.get("usage")), repaired.get("model"), True)
    try:
        answer = _answer_decoder.decode(body)
        usage = None if answer.usage is None else usage_of_plain(answer.usage)
    except msgspec.ValidationError:
        answer, usage = _odd_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    choices = memoryview(answer.choices)
    if len(choices) < _CHOICES_BYTES_MIN or choices[0] != _LIST:
        raise BadMessage("the answer holds no choices")
    if answer.model is not None and not is_form_of(answer.model, request.model):
        body = replace_member(body, b"model", msgspec.json.encode(request.model))
    if request.splits_cache and usage is not None:
        body = replace_member(body, b"usage", split_usage(msgspec.Raw(member_value(body, b"usage"))))
    return Result(body, usage, answer.model, True)


def _odd_answer(body: bytes) -> tuple[_OddAnswer, Usage | None]:
    try:
        answer = _odd_answer_decoder.decode(body)
        return answer, usage_of(msgspec.json.decode(answer.usage))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
