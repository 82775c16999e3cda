"""A whole answer for a client of the Messages API (conformance 2.2)."""

import os

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.conversation import Choice, Foreign, Part, Refusal, Text, Thinking, ToolCall
from ...core.events import Completion
from ...core.usage import NO_USAGE
from .blocks import DIALECT, Written, call_id_shown, citation_shown, stop_details, stop_reason_of_choice
from .usage import usage_shown

_ID_PREFIX = "msg_"
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def render_result(completion: Completion, request: ChatRequest) -> bytes:
    """See Dialect. Of several choices the first is given: a client of this API cannot ask for more."""
    choice = completion.choices[0] if completion.choices else Choice()
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    reason = "refusal" if refused else stop_reason_of_choice(choice)
    answer: Written = {
        "id": id_shown(completion.id),
        "type": "message",
        "role": "assistant",
        "model": model_shown(completion.model, request.model),
        "content": [block for part in choice.parts for block in _blocks(part)],
        "stop_reason": reason,
        "stop_sequence": choice.stop_sequence or None,
        **stop_details(reason, choice.explanation),
        "usage": usage_shown(completion.usage or NO_USAGE),
    }
    return msgspec.json.encode(answer)


def id_shown(given: str) -> str:
    """An answer's id for the client: the provider's own can be told in it."""
    if not given:
        return _ID_PREFIX + os.urandom(12).hex()
    return given if given.startswith(_ID_PREFIX) else _ID_PREFIX + given


def _blocks(part: Part) -> list[object]:
    """A part as blocks. What only another dialect can say has none."""
    if isinstance(part, Text):
        if not part.text:
            return []
        citations = [citation_shown(citation) for citation in part.citations]
        return [{"type": "text", "text": part.text, "citations": citations or None}]
    if isinstance(part, Refusal):
        return [{"type": "text", "text": part.text, "citations": None}]
    if isinstance(part, Thinking):
        is_ours = part.signed_by == DIALECT
        if part.redacted:
            return [{"type": "redacted_thinking", "data": part.redacted}] if is_ours else []
        if not part.text and not is_ours:
            return []
        return [{"type": "thinking", "thinking": part.text, "signature": part.signature if is_ours else ""}]
    if isinstance(part, ToolCall):
        return [{"type": "tool_use", "id": call_id_shown(part.id), "name": part.name, "input": _input(part)}]
    if isinstance(part, Foreign) and part.dialect == DIALECT:
        return [part.raw]
    return []


def _input(call: ToolCall) -> object:
    """A call's arguments as an object. Those of an answer that was cut off are none, and would break the body: their
    text is told instead."""
    arguments = "{}" if call.arguments in ("", "null") else call.arguments
    try:
        _object_decoder.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": arguments}
    return msgspec.Raw(arguments.encode())
