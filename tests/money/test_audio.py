"""Sound in and out is charged by its own price, each token once."""

import json
from pathlib import Path

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import DONE, FINISH, ROLE, Upstream, Visit, event_of, said

from .books import Books, customer_of, nano

RATES = {"input": 1_000_003, "cache_read": 100_019, "output": 2_000_029, "audio_input": 40_000_007}
AUDIO_OUTPUT = 80_000_011
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 10, "audio_tokens": 25},
}


def dollars(pico: int) -> str:
    """The price of a million."""
    return f'"{pico // 10**6}.{pico % 10**6:06}"'


def config(upstream: Upstream) -> str:
    priced = ", ".join(f"{name} = {dollars(pico)}" for name, pico in RATES.items())
    return f"""
[ledger]
demo_credit = "1"

[providers.exact]
base_url = "{upstream.base_url}"
wire = "exact"
models = ["heard", "plain"]

[providers.compatible]
base_url = "{upstream.base_url}"
models = ["repaired"]

[models]
heard.price = {{ {priced}, audio_output = {dollars(AUDIO_OUTPUT)} }}
repaired.price = {{ {priced}, audio_output = {dollars(AUDIO_OUTPUT)} }}
plain.price = {{ input = {dollars(RATES["input"])}, output = {dollars(RATES["output"])} }}
"""


def whole(visit: Visit) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted"}
    visit.whole(200, json.dumps({**head, "choices": [choice], "usage": USAGE}).encode())


def streamed(visit: Visit) -> None:
    visit.stream(ROLE, said("x"), FINISH, event_of(None, usage=USAGE), DONE)
    visit.end()


@pytest.mark.contract("7.2")
def test_sound_is_charged_once_and_by_its_own_price(session_folder: Path) -> None:
    by_class = nano(
        50 * RATES["input"]
        + 20 * RATES["cache_read"]
        + 30 * RATES["audio_input"]
        + 25 * RATES["output"]
        + 25 * AUDIO_OUTPUT
    )
    alike = nano(100 * RATES["input"] + 50 * RATES["output"])  # where a list has no more prices
    with Upstream() as upstream:
        gateway = Gateway(session_folder, config(upstream))
        for model, wanted in (("heard", by_class), ("repaired", by_class), ("plain", alike)):
            for stream in (False, True):
                upstream.play(streamed if stream else whole)
                buyer = customer_of(gateway, f"{model}-{stream}", "10", model)
                answer = buyer.streamed() if stream else buyer.chat()
                assert answer.status == 200
                record = buyer.record(answer.header("x-request-id"))
                assert buyer.settled(answer.header("x-request-id")).charged == buyer.spent == wanted
                usage = record["usage"]
                assert (usage["audio_input"], usage["audio_output"], usage["input"], usage["output"]) == (
                    30,
                    25,
                    50,
                    15,
                )
                assert (usage["prompt_tokens"], usage["completion_tokens"], usage["suspect"]) == (100, 50, False)
        assert gateway.stop() == 0
    Books(gateway.data).in_order()


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_true_of_sound_is_counted_instead(session_folder: Path, stream: bool) -> None:
    usage = {**USAGE, "completion_tokens_details": {"audio_tokens": 51}}

    def script(visit: Visit) -> None:
        if stream:
            visit.stream(ROLE, said("x"), FINISH, event_of(None, usage=usage), DONE)
            visit.end()
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
            visit.whole(200, json.dumps({"id": "x", "choices": [choice], "usage": usage}).encode())

    with Upstream(script) as upstream:
        gateway = Gateway(session_folder, config(upstream))
        buyer = customer_of(gateway, "odd", "10", "heard")
        answer = buyer.streamed() if stream else buyer.chat()
        record = buyer.record(answer.header("x-request-id"))
        assert gateway.stop() == 0
    assert (record["usage"]["source"], record["usage"]["suspect"]) == ("counted", True)
    assert "audio_output" not in record["usage"]
