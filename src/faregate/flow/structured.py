"""Answers that keep to the client's JSON Schema, where the provider does not see to it (contract.md 5.4).

Theory of operation. The answer is judged in the client's own dialect, just as it would be given. A whole one that fails
is not given: the model is shown it and what is wrong with it, and asked once more; both answers are paid for, and the
hold covers both. If the second fails too that is the client's error, with the validator's words. A stream is passed on
and judged at its end, which then is an error; or, where the client asks for it, held back and treated as a whole one.
"""

import msgspec

from ..core.call import Call
from ..core.catalog import Candidate
from ..core.conversation import Message, Text
from ..core.errors import MalformedRequest, UpstreamError
from ..core.schema import schema_of
from ..core.usage import NO_USAGE
from ..wire.messages import BadMessage
from . import failover, relay
from .gate import Gate
from .overhearing import fault_of, texts_of
from .refusals import call_error
from .relay import StreamAnswer, WholeAnswer

_SHOWN_CHARACTERS_MAX = 900  # within funds.AGAIN_TOKENS_MAX, whatever they are


def prepare(gate: Gate, call: Call, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """What the answer of a call must be, where its client says so; gives the candidates that can be held to that.
    Before anything is held: MalformedRequest for a schema that is none."""
    untrusted = [candidate for candidate in candidates if not candidate.model.capabilities.structured_outputs]
    if untrusted and call.operation == "chat":
        try:
            _want(gate, call)
        except MalformedRequest:
            if untrusted[0] is candidates[0]:
                raise
            candidates = tuple(candidate for candidate in candidates if candidate not in untrusted)
    call.is_held = call.is_held and call.schema is not None
    return candidates


def _want(gate: Gate, call: Call) -> None:
    dialect = gate.dialects[call.dialect]
    param = dialect.parameters.get("output_format", "output_format")
    if "output_format" in call.request.members:
        param = "output_format"  # Anthropic's earlier name for it
    elif param.partition(".")[0] not in call.request.members:
        return
    conversation = call.conversation or dialect.understand(call.request)
    wanted = conversation.output_format
    if wanted is not None and wanted.schema is not None:
        call.schema = schema_of(bytes(wanted.schema), param)
        call.conversation = conversation


async def open(gate: Gate, candidates: tuple[Candidate, ...], call: Call) -> WholeAnswer | StreamAnswer:
    """The answer of a call, for which the model may be asked twice. SchemaMissed; as failover.open."""
    answer = await failover.open(gate, candidates, call)
    if _sees_to_it(candidates, call):
        call.schema = None  # it is for the others that there is one
    if call.schema is None or (call.request.stream and not call.is_held):
        return answer
    text, fault = await _judge(gate, call, answer)
    if not fault:
        return answer
    _ask_again(call, answer, text, fault)
    candidates = tuple(candidate for candidate in candidates if candidate.depth == call.record.fallback_depth)
    try:
        answer = await failover.open(gate, candidates, call)
        _, fault_again = await _judge(gate, call, answer)
    except UpstreamError:
        raise relay.missed(fault) from None
    if fault_again:
        answer.close()
        call.record.usage = answer.used()  # though nobody was given it
        raise relay.missed(fault_again)
    return answer


def _sees_to_it(candidates: tuple[Candidate, ...], call: Call) -> bool:
    """Whether the provider of the one that answers sees to the schema."""
    if call.schema is None:
        return False
    depth = call.record.fallback_depth
    return any(candidate.depth == depth and candidate.model.capabilities.structured_outputs for candidate in candidates)


async def _judge(gate: Gate, call: Call, answer: WholeAnswer | StreamAnswer) -> tuple[str, str]:
    """What is wrong with an answer that nobody has been given."""
    assert call.schema is not None
    if isinstance(answer, WholeAnswer):
        try:
            return fault_of(call.schema, texts_of(gate.dialects[call.dialect].parse_result(answer.body)))
        except BadMessage as error:
            call.record.usage = NO_USAGE  # nobody is given it
            raise call_error(error) from None
    try:
        await answer.ended
    except BaseException:
        answer.close()
        raise
    return fault_of(call.schema, answer.texts())


def _ask_again(call: Call, answer: WholeAnswer | StreamAnswer, text: str, fault: str) -> None:
    """The next attempt shows the model its answer, and what is wrong with it."""
    assert call.conversation is not None
    call.earlier = answer.used()
    call.earlier_nano = 0 if call.tariff is None else call.tariff.charge_nano(call.earlier)
    call.earlier_tariff = call.tariff
    call.record.usage = NO_USAGE
    call.correction = _correction(text, fault)
    messages = (*call.conversation.messages, *call.correction)
    call.conversation = msgspec.structs.replace(call.conversation, messages=messages)


def _correction(text: str, fault: str) -> tuple[Message, ...]:
    words = f"This is not what was asked for: {fault[:_SHOWN_CHARACTERS_MAX]}. Answer again, with nothing but the JSON."
    messages = (Message("assistant", (Text(text),)),) if text.strip() else ()
    return (*messages, Message("user", (Text(words),)))
