"""What calls of a model usually take, as far as caps on context go by it."""

import pytest

from faregate.core.call import UsageRecord
from faregate.core.chat import ChatRequest
from faregate.core.usage import Usage, UsageSource
from faregate.flow.expectations import Expectations


def record_of(bytes_in: int, tokens: int) -> UsageRecord:
    record = UsageRecord(id="i", received_at=1.0, method="POST", region="r", model="m", bytes_in=bytes_in)
    record.usage = Usage(input=tokens, output=10, source=UsageSource.PROVIDER)
    return record


def asked(text_bytes: int) -> ChatRequest:
    return ChatRequest(model="m", members={}, text_bytes=text_bytes)


@pytest.mark.contract("6.4")
def test_short_calls_say_nothing_of_long_prompts() -> None:
    """A body of some words is mostly JSON; that must not make a long prompt look short."""
    expectations = Expectations()
    expectations.observe([record_of(100, 5)] * 1_000)
    assert expectations.tokens("m", asked(100))[0] == 5
    assert expectations.tokens("m", asked(1_000_000))[0] == 250_000
    expectations.observe([record_of(100_000, 20_000)] * 1_000)
    assert expectations.tokens("m", asked(1_000_000))[0] == pytest.approx(200_000, rel=0.01)
    assert expectations.tokens("m", asked(100))[0] == 5
