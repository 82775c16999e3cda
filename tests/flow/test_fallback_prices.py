"""The prices of a call's fallbacks are those of its admission, however long the first model is waited for."""

import json
import uuid
from types import SimpleNamespace
from typing import Any

from faregate.core.call import Call, UsageRecord
from faregate.core.catalog import Candidate, Model
from faregate.core.money import Price, PriceEntry, Rates, Tariff
from faregate.dialects.openai_chat import OpenAIChat
from faregate.flow import funds

MODELS = {name: Model(id=name, vendor="v", max_output_tokens=100) for name in ("first", "second")}


def tariff(version: str, pico: int) -> Tariff:
    return Tariff.of(Price(version=version, entries=(PriceEntry(rates=Rates(input=pico, output=pico)),)), 0)


def test_a_price_that_changes_meanwhile_is_not_this_calls() -> None:
    now = {"first": tariff("1", 1_000_000), "second": tariff("2", 2_000_000)}
    ledger = SimpleNamespace(is_failing=False, blocked=frozenset())
    gate: Any = SimpleNamespace(ledger=ledger, tariffs=SimpleNamespace(of=lambda model: now[model.id]))
    body = {"model": "first", "messages": [{"role": "user", "content": "hi"}]}
    call_id = str(uuid.uuid4())
    call = Call(
        id=call_id,
        caller=SimpleNamespace(payer=1),  # type: ignore[arg-type]
        operation="chat",
        dialect="openai_chat",
        request=OpenAIChat().parse_request(json.dumps(body).encode()),
        deadline_at=0.0,
        record=UsageRecord(id=call_id, received_at=0.0, model="first"),
        snapshot=None,  # type: ignore[arg-type]
    )
    candidates = tuple(Candidate(model, (), depth) for depth, model in enumerate(MODELS.values()))
    hold = funds.hold_for(gate, call, candidates)
    now["second"] = tariff("3", 3_000_000)
    funds.turn_to(gate, call, MODELS["second"])
    assert call.record.price_version == "2"
    assert call.tariff is not None
    assert call.tariff.ceiling_nano(1, 100) <= hold.amount
    less = funds.lowered(gate, call, candidates, hold, 10**9)
    assert less is not None and less.amount <= hold.amount
