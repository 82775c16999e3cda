"""Which day a call counts for: that of its arrival, however late it is looked at."""

import asyncio
from types import SimpleNamespace
from typing import Any

from faregate.core.catalog import Candidate, Model
from faregate.core.chat import ChatRequest
from faregate.core.limits import Bound, Demand
from faregate.flow import limits
from faregate.flow.expectations import Expectations

MIDNIGHT = 20_000 * 86_400
BOUNDS = (Bound("daily_tokens", b"d" * 16, 10_000, "key", "k"),)


def test_a_call_counts_for_the_day_of_its_arrival() -> None:
    demands: list[Demand] = []

    async def take(demand: Demand) -> None:
        demands.append(demand)

    gate: Any = SimpleNamespace(counters=SimpleNamespace(take=take), expectations=Expectations())
    for received_at in (MIDNIGHT - 0.001, MIDNIGHT, MIDNIGHT + 86_399.999):
        request = ChatRequest(model="m", members={}, text_bytes=100, messages=1, choices=2, output_tokens_max=50)
        call: Any = SimpleNamespace(request=request, schema=None, record=SimpleNamespace(received_at=received_at))
        asyncio.run(limits.take(gate, call, (Candidate(Model(id="m", vendor="v"), ()),), BOUNDS))
    assert [demand.day for demand in demands] == [19_999, 20_000, 20_000]
    assert {demand.tokens_max for demand in demands} == {100 // 2 + 16 + 2 * 50}
