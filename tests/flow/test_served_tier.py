"""The service tier that an answer names: where it may stand, in whatever pieces it comes, and what says nothing."""

import json
import random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from faregate.core.call import Call, UsageRecord
from faregate.core.chat import ChatRequest
from faregate.core.money import Price, PriceEntry, Rates, Tariff
from faregate.core.usage import NO_USAGE, Usage
from faregate.dialects import Observed
from faregate.dialects.table import DIALECTS, UPSTREAMS
from faregate.flow.funds import charge_as_told, settle
from faregate.flow.served_tier import ServedTier, TierWatch
from faregate.wire.incoming import IncomingResponse

PRICE = Price(
    version="v",
    entries=(
        PriceEntry(rates=Rates(input=2)),
        PriceEntry(rates=Rates(input=4), tier="priority"),
        PriceEntry(rates=Rates(input=1), tier="flex"),
    ),
)
GATE: Any = SimpleNamespace(dialects=DIALECTS)
NO_HEAD = IncomingResponse(None, 200, None)  # type: ignore[arg-type]
ASKED = [{"service_tier": "flex", "usage": {"service_tier": "flex"}}, "service_tier", '{"service_tier":"flex"}']


class Unchanged:
    """A transform that shows what it is fed."""

    def __init__(self) -> None:
        self.observed = Observed()

    def feed(self, data: bytes) -> bytes:
        return data

    def close(self) -> bytes:
        return b""


def call_for(price: Price, asked: str = "priority") -> Call:
    return Call(
        id="c",
        caller=None,  # type: ignore[arg-type]
        operation="chat",
        dialect="openai_chat",
        request=ChatRequest(model="m", members={}),
        deadline_at=0.0,
        record=UsageRecord(id="c", received_at=0.0),
        snapshot=None,  # type: ignore[arg-type]
        tariff=Tariff.of(price, 0).asked(asked),
    )


def version_after(wire: str, body: bytes, asked: str = "priority") -> str:
    call = call_for(PRICE, asked)
    ServedTier(call, UPSTREAMS[wire].tier_marks, NO_HEAD).hear(body)
    assert call.tariff is not None
    return call.tariff.version


@pytest.mark.parametrize("given", ASKED)
@pytest.mark.parametrize("tail", [{}, {"usage": {"service_tier": "standard"}}])
def test_what_a_model_says_is_no_tier(given: Any, tail: dict[str, Any]) -> None:
    """The arguments of a call are JSON in JSON, and a client may have a say in them."""
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {"usage": given, "message": given}}]
    body = json.dumps({"content": content, "metadata": given, **tail}).encode()
    assert version_after("anthropic_messages", body) == ("v" if tail else "v@priority")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"service_tier"', b'{"service_tier":"\xff"}', b'"service_tier"'])
def test_what_is_no_json_names_nothing(body: bytes) -> None:
    assert version_after("openai_chat", body) == "v@priority"


def test_prices_are_those_of_the_admission_and_a_tier_that_has_none_yet_is_the_ordinary_one() -> None:
    later = PriceEntry(rates=Rates(input=9), valid_from=100)
    price = Price(version="v", entries=(*PRICE.entries, later, PriceEntry(rates=Rates(), tier="scale", valid_from=100)))
    tariff = Tariff.of(price, 50)
    served = tariff.served("scale")
    assert served is not None and served.version == "v" and served.ceiling_nano(1000, 0) == 2


def test_another_attempt_is_charged_by_what_is_asked_until_its_own_answer_says_more() -> None:
    call = call_for(PRICE, "")
    call.request.members["service_tier"] = msgspec.Raw(b'"priority"')
    for dropped, version in (((), "v@priority"), (("serviceTier",), "v@priority"), (("service_tier",), "v")):
        ServedTier(call, UPSTREAMS["openai_chat"].tier_marks, NO_HEAD).hear(b'{"service_tier":"flex"}')
        assert call.record.price_version == "v@flex"
        call.dropped = dropped
        charge_as_told(GATE, call)
        assert call.tariff is not None and call.tariff.version == call.record.price_version == version


@pytest.mark.parametrize("seed", range(20))
def test_a_tier_is_heard_in_whatever_pieces_a_stream_comes(seed: int) -> None:
    dice = random.Random(seed)
    names = [dice.choice(["priority", "flex", "default", "auto", "new", None, 3]) for _ in range(12)]
    ends = dice.choice([b"\n\n", b"\r\n\r\n"])
    separators = dice.choice([(",", ":"), (", ", ": ")])
    events = [
        {"choices": [{"delta": {"content": dice.choice(["x", "service_tier", 'a "service_tier":"flex"'])}}]}
        for _ in names
    ]
    for event, name in zip(events, names, strict=True):
        if name is not None:
            event["service_tier"] = name  # type: ignore[assignment]
    stream = b"".join(b"data: " + json.dumps(event, separators=separators).encode() + ends for event in events)
    call = call_for(PRICE, "priority")
    upstream = UPSTREAMS["openai_chat"]
    served = ServedTier(call, upstream.tier_marks, NO_HEAD)
    watch = TierWatch(Unchanged(), served, upstream)
    given = b""
    while stream:
        size = dice.choice([1, 7, 60, 300, len(stream)])
        given, stream = given + watch.feed(stream[:size]), stream[size:]
    watch.close()
    known = ["priority", *(name for name in names if name in ("priority", "flex", "default"))][-1]
    assert call.tariff is not None and call.tariff.version == ("v" if known == "default" else f"v@{known}")
    assert call.record.price_version in ("", call.tariff.version)
    assert given.count(ends) == len(events)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_what_comes_after_the_end_names_nothing(end: bytes, size: int) -> None:
    said = [b'{"service_tier":"priority"}', b"[DONE]", b'{"service_tier":"flex"}']
    stream = b"\xef\xbb\xbf" + b"".join(b"data: " + data + end for data in said)
    call = call_for(PRICE, "")
    upstream = UPSTREAMS["openai_chat"]
    watch = TierWatch(Unchanged(), ServedTier(call, upstream.tier_marks, NO_HEAD), upstream)
    for start in range(0, len(stream), size):
        watch.feed(stream[start : start + size])
    watch.close()
    assert call.record.price_version == "v@priority"


@pytest.mark.parametrize(
    "said",
    [
        [b'{"service_tier":"flex"}', b'{"service_tier": "priority"}', b'{"service_tier":"flex"}'],
        [b'{"service_tier":"flex"}', b'{"service_tier":"\\u0070riority"}', b'{"service_tier":"flex"}'],
        [b'{"service_tier":"flex"}', b'{"response":{"service_tier":"priority"}}', b'{"service_tier":"flex"}'],
    ],
)
def test_the_last_name_counts_however_it_is_written(said: list[bytes]) -> None:
    call = call_for(PRICE, "")
    served = ServedTier(call, UPSTREAMS["openai_responses"].tier_marks, NO_HEAD)
    for data, version in zip(said, ("v@flex", "v@priority", "v@flex"), strict=True):
        served.hear(data)
        assert call.record.price_version == version


def test_of_two_names_for_a_tier_the_last_counts() -> None:
    call = call_for(PRICE, "")
    served = ServedTier(call, UPSTREAMS["gemini_generate"].tier_marks, NO_HEAD)
    for name, tier in (("serviceTier", "priority"), ("trafficType", "ON_DEMAND"), ("serviceTier", "priority")):
        served.hear(b'{"usageMetadata":{"%b":"%b"}}' % (name.encode(), tier.encode()))
    assert call.record.price_version == "v@priority"


@pytest.mark.parametrize(
    ("second", "cost", "version"), [(NO_USAGE, 1_000, "v@flex"), (Usage(input=1), 1_001, "v@priority")]
)
def test_where_the_second_answer_never_came_the_record_says_the_price_of_the_first(
    second: Usage, cost: int, version: str
) -> None:
    charged = []
    ledger = SimpleNamespace(settle=lambda hold, cost, record: charged.append(cost))
    call = call_for(PRICE, "flex")
    call.earlier, call.earlier_nano, call.earlier_tariff = Usage(input=1_000), 1_000, call.tariff
    assert call.tariff is not None
    call.tariff = call.tariff.asked("priority")
    call.record.price_version, call.record.usage = call.tariff.version, second
    settle(SimpleNamespace(ledger=ledger), call, SimpleNamespace(amount=10_000))  # type: ignore[arg-type]
    assert charged == [cost] == [call.record.cost_nano]
    assert call.record.price_version == version
    assert call.record.usage.input == 1_000 + second.input


def test_an_ordinary_tier_with_a_price_of_its_own_is_held_for_as_what_it_may_become() -> None:
    """A target that cannot be told of the tier is asked for none, and charged so."""
    tariff = Tariff.of(
        Price(version="v", entries=(*PRICE.entries, PriceEntry(rates=Rates(input=1), tier="default"))), 0
    )
    assert tariff.asked("default").ceiling_nano(1_000, 0) == tariff.asked("").charge_nano(Usage(input=1_000)) == 2


def test_half_of_a_character_beside_it_hides_no_tier() -> None:
    event = rb'{"choices":[{"delta":{"content":"\ud83d"}}],"service_tier":"flex"}'
    assert version_after("openai_chat", event) == "v@flex"
