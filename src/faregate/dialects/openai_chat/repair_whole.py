"""The repair of a whole answer from an upstream whose wire is only compatible (conformance 1.1)."""

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...wire.messages import BadMessage
from .parse_answer import texts_of
from .repair_rules import (
    Members,
    created_of,
    given_reason,
    has_content,
    id_of,
    is_failure,
    is_known,
    made_answer_id,
    usage_shown,
    write_reason,
)
from .repair_tools import whole_calls

_PIECES = frozenset({"text", "thinking"})

_decode = msgspec.json.Decoder().decode


def repair_result(body: bytes, request: ChatRequest) -> Members:
    """A whole answer's members, repaired. BadMessage for what is none: no JSON, an error, no choices."""
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as failure:
        raise BadMessage("the upstream's answer is not JSON") from failure
    if not isinstance(answer, dict):
        raise BadMessage("the upstream's answer is not an object")
    choices = answer.get("choices")
    if answer.get("error") or not isinstance(choices, list) or not choices:
        raise BadMessage("the upstream's answer has no choices")
    if not all(isinstance(choice, dict) for choice in choices):
        raise BadMessage("a choice of the upstream's answer is not an object")
    answer["id"] = id_of(answer.get("id")) or made_answer_id()
    answer["object"] = "chat.completion"
    answer["created"] = created_of(answer.get("created"))
    answer["model"] = model_shown(answer.get("model"), request.model)
    unexplained = [_repair_choice(choice) for choice in choices]
    if all(unexplained):
        raise BadMessage("the upstream's answer is empty and ends for no known reason")
    _number(choices)
    usage = answer.get("usage")
    if isinstance(usage, dict) and usage:
        answer["usage"] = usage_shown(usage)
    else:
        answer.pop("usage", None)
    return answer


def unfold(message: Members) -> None:
    """Make words and thoughts of a content in pieces, as Mistral has it; one with other pieces stays as it is."""
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(piece, dict) for piece in content):
        return
    if _PIECES.issuperset(piece.get("type") for piece in content):
        said, thought = texts_of(content)
        message["content"] = said or None
        if thought:
            message["reasoning_content"] = thought


def _repair_choice(choice: Members) -> bool:
    """Repair a choice in place; true where it holds nothing and its finish reason does not say why."""
    message = choice.get("message")
    if not isinstance(message, dict):
        message = choice.pop("delta", None)
        if not isinstance(message, dict):
            message = {"content": choice.get("text")}
    choice["message"] = message
    message["role"] = "assistant"
    message.setdefault("content", None)
    unfold(message)
    message.setdefault("refusal", None)
    calls = whole_calls(message.pop("tool_calls", None))
    if calls:
        message["tool_calls"] = calls
        message["content"] = message["content"] or None
    native = given_reason(choice.get("finish_reason"))
    if native is None and message.get("function_call"):
        native = "function_call"
    choice.setdefault("logprobs", None)
    write_reason(choice, native, has_calls=bool(calls))
    is_explained = is_known(native) and not is_failure(native)
    return not is_explained and not has_content(message)


def _number(choices: list[Members]) -> None:
    """Keep the choices' indexes where they are distinct numbers, and count them otherwise."""
    indexes = [choice.get("index") for choice in choices]
    if not all(type(index) is int for index in indexes) or len(set(indexes)) < len(indexes):
        indexes = list(range(len(choices)))
    if len(indexes) == 1:
        indexes = [0]
    for choice, index in zip(choices, indexes, strict=True):
        choice["index"] = index
