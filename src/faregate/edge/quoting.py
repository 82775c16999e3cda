"""POST /v1/quote: what a call would come to, as a body of the house."""

import msgspec

from ..core.call import Call, UsageRecord
from ..core.errors import MalformedRequest
from ..core.identity import Caller
from ..core.money import format_amount
from ..dialects import Asked
from ..flow.gate import Gate
from ..flow.quote import Quote, quote
from ..wire.deadlines import NEVER
from .house import House


class _Asked(msgspec.Struct):
    path: str
    body: msgspec.Raw


_decoder = msgspec.json.Decoder(_Asked)


async def answer(gate: Gate, house: House, caller: Caller, project_id: str, body: bytes) -> bytes:
    """The quote for the call that `body` describes by its path and body. MalformedRequest."""
    try:
        asked = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"A quote is asked for with 'path' and 'body', those of the call: {error}."
        raise MalformedRequest(message) from None
    route = house.routes.match(asked.path.partition("?")[0].encode())
    if route is None or not route.is_call or route.is_off:
        raise MalformedRequest("'path' is not that of a call to a model.", param="path")
    try:
        request = gate.dialects[route.dialect].parse_request(bytes(asked.body), Asked(route.argument))
    except MalformedRequest as error:
        error.param = f"body.{error.param}" if error.param else "body"
        raise
    call = Call(
        id="00000000-0000-7000-8000-000000000000",
        caller=caller,
        operation=route.operation,
        dialect=route.dialect,
        request=request,
        deadline_at=NEVER,
        record=UsageRecord(id="", received_at=0.0, project_id=project_id),
        snapshot=gate.snapshots[house.name],
        terms=caller.terms_for(project_id),
    )
    return msgspec.json.encode(members_of(house, await quote(gate, call)))


def members_of(house: House, found: Quote) -> dict[str, object]:
    """What the body of a quote has."""
    status, code, message = 200, None, None
    if found.refusal is not None:
        status, members, _ = house.error(found.refusal, "")
        code, message = members.get("code"), members["message"]  # in the house's words
    return {
        "object": "quote",
        "model": found.model,
        "target": found.target,
        "held": format_amount(found.held_nano),
        "expected": format_amount(found.expected_nano),
        "highest": format_amount(found.held_nano),
        "price_version": found.price_version,
        "output_tokens_max": found.output_tokens_max,
        "would_be": {"status": status, "code": code, "message": message},
    }
