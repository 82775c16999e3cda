"""What a call may cost and what it did cost: the hold before any provider hears of it, and the settlement after it.

The estimate (money.md section 4) is an upper bound that needs no tokenizer: half a token for each byte of the body,
which is twice what English takes and more than any script does, a few for each message, and a flat sum for each image,
whose bytes are not text. A file counts by its bytes, up to all that the model reads, and as all of that where it is not
in the body; so does what a provider's own tools may bring. What a call costs beyond its hold falls under the charge
rule of the ledger.
"""

import time
from collections.abc import Callable

import msgspec

from ..core.call import Call
from ..core.catalog import Candidate, Model
from ..core.chat import OUTPUT_TOKENS_MAX, ChatRequest
from ..core.errors import GatewayError, NoFunds, Overloaded
from ..core.ids import id_bytes
from ..core.money import Price, Tariff
from ..core.usage import NO_USAGE, Usage
from ..ledger.holds import Hold
from .gate import Gate

_BYTES_PER_TOKEN_MIN = 2
_TOKENS_PER_MESSAGE = 16
_TOKENS_PER_IMAGE = 5_000
_WINDOW_TOKENS = 200_000  # of a model of which nobody has said it
_TARIFFS_MAX = 10_000
_TOKENS_MAX = 2**31
_LOWERED_TOKENS_MIN = 4_096
_TIER = "service_tier"  # what most dialects call it
_STRING = b'"'[0]
AGAIN_TOKENS_MAX = 2_000  # of what is said to a model that is asked again (structured.py)


class Tariffs:
    """The tariffs of the models, each kept for as long as it holds; `default` is the price of a model without one.
    `note` hears of each price before a call is charged by it."""

    def __init__(self, default: Price | None, note: Callable[[str, Price], None]) -> None:
        self._default = default
        self._note = note
        self._kept: dict[int, tuple[Model, Tariff]] = {}  # by the model's identity: houses differ in their prices

    def price_of(self, model: Model) -> Price | None:
        """What a model is charged by; None where nobody has said it."""
        return model.price or self._default

    def has(self, model: Model) -> bool:
        """Whether somebody has said what a model costs now."""
        try:
            self.of(model)
        except GatewayError:
            return False
        return True

    def of(self, model: Model) -> Tariff:
        """What a model costs a request that is admitted now and asks for no service tier. GatewayError where nobody has
        said it: never free."""
        model_and_tariff = self._kept.get(id(model))
        if model_and_tariff is not None and model_and_tariff[0] is model:
            tariff = model_and_tariff[1]
            if tariff.until is None or time.time() < tariff.until:
                return tariff
        return self._made(model)

    def _made(self, model: Model) -> Tariff:
        price = self.price_of(model)
        try:
            if price is None:
                raise LookupError
            tariff = Tariff.of(price, int(time.time()))
        except LookupError:
            raise GatewayError(
                f"The model '{model.id}' has no price.", kind="model_not_priced", param="model"
            ) from None
        if len(self._kept) >= _TARIFFS_MAX:
            self._kept.clear()
        self._kept[id(model)] = (model, tariff)
        self._note(model.id, price)
        return tariff


def charge_as_told(gate: Gate, call: Call) -> None:
    """What a call costs at the target that it is put to, until its answer says more: one that is not told of a service
    tier gives none."""
    tariff = call.tariff
    if tariff is not None and tariff.has_tiers:
        member = _tier_member(gate, call)
        charge_by(call, tariff.asked("" if member in call.dropped else _tier_asked(call.request, member)))


def charge_by(call: Call, tariff: Tariff) -> None:
    """From now on a call is charged by that tariff."""
    call.tariff = tariff
    call.record.price_version = tariff.version
    call.record.token_rate = tariff.rate_of(0)


def tariff_of(gate: Gate, call: Call, model: Model) -> Tariff:
    """What a call costs, by the service tier that it asks for (money.md section 1: fixed at admission)."""
    tariff = gate.tariffs.of(model)
    return tariff.asked(_tier_asked(call.request, _tier_member(gate, call))) if tariff.has_tiers else tariff


def _tier_member(gate: Gate, call: Call) -> str:
    """Where a call's dialect says its tier. What others call it is a member like any, of which no provider hears."""
    return gate.dialects[call.dialect].parameters.get(_TIER, _TIER)


def _tier_asked(request: ChatRequest, member: str) -> str:
    raw = request.members.get(member)
    return msgspec.json.decode(raw) if raw is not None and memoryview(raw)[0] == _STRING else ""


def hold_for(gate: Gate, call: Call, candidates: tuple[Candidate, ...], budgets: tuple[int, ...] = ()) -> Hold:
    """What is to be held for a call: the most that it can cost, whichever of the candidates answers it. Nothing is
    taken yet. GatewayError, NoFunds."""
    if gate.ledger.is_failing:
        raise Overloaded("The ledger cannot be written; try again in a moment.", retry_after_s=1.0)
    if gate.ledger.blocked and not gate.ledger.blocked.isdisjoint((call.caller.payer, *budgets)):
        raise GatewayError("This account's books are not in order; the operator has been told.", kind="account_blocked")
    caller, request, record = call.caller, call.request, call.record
    first = candidates[0]
    model = first.model
    call.tariff = tariff = tariff_of(gate, call, model)
    if first.depth or len(candidates) > 1:
        call.tariffs = {candidate.model.id: tariff_of(gate, call, candidate.model) for candidate in candidates}
    _bound_output(model, request)
    amount = _most_nano(call, tariff, input_tokens_max(model, request), request.choices * request.output_tokens_bound)
    if len(candidates) > 1:
        amount = max(amount, *(_most_with(gate, call, candidate.model) for candidate in candidates[1:]))
    if not caller.payer and amount:
        raise NoFunds
    record.hold_nano = amount
    record.price_version = tariff.version
    record.token_rate = tariff.rate_of(0)
    return Hold(id_bytes(call.id), caller.payer, budgets, amount, may_wait=not request.stream)


def turn_to(gate: Gate, call: Call, model: Model) -> None:
    """From now on a call is answered and charged as one of a fallback's, for which enough is held already."""
    request, record = call.request, call.record
    charge_by(call, _fixed(gate, call, model))
    _bound_output(model, request)
    record.fallback_from = record.fallback_from or record.model
    record.model = request.model = model.id
    if "model" in request.members:
        request.members["model"] = msgspec.Raw(msgspec.json.encode(model.id))


def _fixed(gate: Gate, call: Call, model: Model) -> Tariff:
    """What a call costs where that model answers it: what that was at its admission."""
    return call.tariffs[model.id] if call.tariffs is not None else tariff_of(gate, call, model)


def _bound_output(model: Model, request: ChatRequest) -> None:
    """Cut what the client asks for to what a model puts out, and say what that can be at most."""
    asked = request.output_tokens_max if request.output_tokens_cap is None else request.output_tokens_cap
    cap = output_tokens_max(model, request)
    if asked is not None and model.max_output_tokens and asked > cap:
        request.output_tokens_cap = cap
    request.output_tokens_bound = cap if asked is None or asked > cap else asked


def _most_with(gate: Gate, call: Call, model: Model) -> int:
    """The most that a call can cost where a fallback answers it."""
    request = call.request
    cap = output_tokens_max(model, request)
    output_tokens = min(request.output_tokens_cap or request.output_tokens_max or cap, cap)
    input_tokens = input_tokens_max(model, request)
    return _most_nano(call, _fixed(gate, call, model), input_tokens, request.choices * output_tokens)


def output_tokens_max(model: Model, request: ChatRequest) -> int:
    """More tokens than an answer can have: the model's bound, or, where nobody has said it, what the client asks for
    or what is held for in its place."""
    return model.max_output_tokens or max(OUTPUT_TOKENS_MAX, request.output_tokens_max or 0)


def input_tokens_max(model: Model, request: ChatRequest) -> int:
    """More tokens than the prompt is. A file can have as many as bytes of text, what is not in the body as many as the
    model reads."""
    tokens = (
        -(-request.text_bytes // _BYTES_PER_TOKEN_MIN)
        + _TOKENS_PER_MESSAGE * request.messages
        + _TOKENS_PER_IMAGE * request.images
    )
    if request.is_open or request.media_bytes:
        window = model.context_window or _WINDOW_TOKENS
        tokens += window if request.is_open else min(window, -(-request.media_bytes // _BYTES_PER_TOKEN_MIN))
    return tokens


def _most_nano(call: Call, tariff: Tariff, input_tokens: int, output_tokens: int) -> int:
    """The most that a call can cost; where the model may be asked again, the first answer is part of that prompt."""
    amount = tariff.ceiling_nano(input_tokens, output_tokens)
    if call.schema is not None:
        amount += tariff.ceiling_nano(input_tokens + output_tokens + AGAIN_TOKENS_MAX, output_tokens)
    if call.request.searches_max:
        searches_max = call.request.searches_max * (1 if call.schema is None else 2)
        amount += tariff.charge_nano(Usage(searches=searches_max))
    return amount


async def obtain(gate: Gate, call: Call, candidates: tuple[Candidate, ...], hold: Hold) -> Hold:
    """A hold for a call whose hold was not at hand: from the ledger, or a lower one where the client left the length
    of the answer to us; the answer is then cut at what is held for. NoFunds, Overloaded."""
    try:
        await gate.ledger.wait_for(hold)
    except NoFunds:
        slices = gate.ledger.slices
        less = lowered(gate, call, candidates, hold, slices.available(hold.groups))
        if less is None:
            raise no_funds(hold, slices.available((hold.payer,))) from None
        await gate.ledger.wait_for(less)
        return less
    return hold


def no_funds(hold: Hold, payer_nano: int) -> NoFunds:
    """The refusal of a hold whose payer has `payer_nano` free: it says where a budget is what is short."""
    if hold.budgets and payer_nano >= hold.amount:
        return NoFunds("A budget of this key or its project does not cover what the call may cost.")
    return NoFunds()


def lowered(gate: Gate, call: Call, candidates: tuple[Candidate, ...], hold: Hold, free_nano: int) -> Hold | None:
    """A hold of half of what is free, if that is enough for an answer of some length (money.md section 4)."""
    request = call.request
    if request.output_tokens_max is not None:
        return None
    models = [candidate.model for candidate in candidates]
    share_nano = free_nano // 2 if call.schema is None else free_nano // 4
    cap = min(output_tokens_max(models[0], request), request.output_tokens_cap or _TOKENS_MAX)
    tokens = cap
    for model in models:
        tariff, input_tokens = _fixed(gate, call, model), input_tokens_max(model, request)
        tokens = min(tokens, tariff.output_tokens_for(share_nano, input_tokens) // request.choices)
    if tokens < min(_LOWERED_TOKENS_MIN, cap):
        return None
    request.output_tokens_cap = tokens
    amount = max(_most_with(gate, call, model) for model in models)
    if amount > free_nano:
        return None
    call.record.hold_nano = amount
    return Hold(hold.reservation, hold.payer, hold.budgets, amount, may_wait=hold.may_wait)


def settle(gate: Gate, call: Call, hold: Hold) -> None:
    """Charge a call what it used, however it ended. The second time does nothing. Its record says what that will come
    to, for answers whose settlement nobody waits for: beyond the hold, as much as is free."""
    record = call.record
    cost_nano = 0
    if call.tariff is not None:
        cost_nano = call.tariff.charge_nano(record.usage)
        if call.tariff.has_bands:  # only now it is known which one it was
            record.token_rate = call.tariff.rate_of(record.usage.prompt)
    if call.earlier is not None and not (call.is_waived and record.usage is NO_USAGE):
        cost_nano += call.earlier_nano
        if record.usage is NO_USAGE and call.earlier_tariff is not None:  # the second attempt came to nothing
            charge_by(call, call.earlier_tariff)
            record.token_rate = call.earlier_tariff.rate_of(call.earlier.prompt)
        record.usage = call.earlier if record.usage is NO_USAGE else call.earlier.add(record.usage)
    chargeable = cost_nano
    if cost_nano > hold.amount:
        chargeable = min(cost_nano, hold.amount + gate.ledger.slices.available(hold.groups))
    record.cost_nano = chargeable
    gate.ledger.settle(hold, cost_nano, record)
