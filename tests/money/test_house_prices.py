"""A house's price list, charged by a running gateway to the nano-dollar (contract.md 7.5)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from faregate.core.money import format_amount
from tests.edge.conftest import command_json
from tests.running.processes import CLEAN, Gateway
from tests.running.upstreams import DONE, FINISH, ROLE, Upstream, Visit, event_of, said

from .books import Books, customer_of

LIST = {"deepseek-v4-flash": ("0.16", "0.004", "0.30"), "deepseek-v4-pro": ("0.60", "0.005", "1.20")}
HOUSE = "".join(
    f'[prices."{model}"]\ninput = "{fresh}"\ncache_read = "{cached}"\noutput = "{output}"\n'
    for model, (fresh, cached, output) in LIST.items()
)


def config(upstream: Upstream, house: Path) -> str:
    return f"""
house = "{house}"

[ledger]
demo_credit = "100"

[prices]
margin_percent = "20"

[providers.host]
base_url = "{upstream.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["deepseek-v4-flash", "deepseek-v4-pro", "gpt-4o"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def housed(session_folder: Path, provider: Upstream) -> Iterator[Gateway]:
    """The gateway of that house; its books are in order in the end."""
    file = session_folder / "house.toml"
    file.write_text(HOUSE, "utf-8")
    gateway = Gateway(session_folder, config(provider, file))
    yield gateway
    assert gateway.stop() == 0
    assert Books(gateway.data).in_order().active_leases == 0
    assert gateway.command("ledger", "verify").returncode == 0


def exact_nano(model: str, fresh: int, cached: int, output: int) -> int:
    """What the list says, in fractions of dollars, rounded up once."""
    usd = sum(
        Fraction(price) * count / 1_000_000 for price, count in zip(LIST[model], (fresh, cached, output), strict=True)
    )
    return -(-usd * 1_000_000_000 // 1)


@pytest.mark.contract("7.2", "7.5")
@pytest.mark.parametrize("model", LIST)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fresh", "cached", "output"),
    [(1, 0, 1), (0, 1, 1), (0, 3, 1), (1, 100, 1), (999, 1, 7), (17, 123_457, 311), (100_003, 1_000_001, 4_099)],
)
def test_7_5_is_exact(
    housed: Gateway, provider: Upstream, model: str, stream: bool, fresh: int, cached: int, output: int
) -> None:
    usage = {
        "prompt_tokens": fresh + cached,
        "completion_tokens": output,
        "total_tokens": fresh + cached + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": usage,
    }

    def script(visit: Visit) -> None:
        if stream:
            visit.stream(ROLE, said("x"), FINISH, event_of(None, usage=usage), DONE)
            visit.end()
        else:
            visit.whole(200, json.dumps(whole).encode())

    provider.play(script)
    buyer = customer_of(housed, f"buyer-{model}-{stream}-{fresh}-{cached}", "10", model)
    # A body as large as such a prompt is: usage beyond all measure would not be believed.
    messages = [{"role": "user", "content": "word " * ((fresh + cached) // 2 + 10)}]
    answer = buyer.ask("POST", "/v1/chat/completions", buyer.body(stream=stream, messages=messages))
    assert answer.status == 200
    record = buyer.record(answer.header("x-request-id"))
    wanted = exact_nano(model, fresh, cached, output)
    assert buyer.settled(answer.header("x-request-id")).charged == buyer.spent == wanted
    assert record["cost"] == format_amount(wanted)
    assert record["price_version"].startswith("house:")
    rates = dict(zip(("input", "cache_read", "output"), (text.rstrip("0") for text in LIST[model]), strict=True))
    assert record["prices"] == [{"prompt_tokens_over": 0, **rates}]
    if not stream:
        assert answer.header("x-credits-used") == format_amount(wanted)


def test_the_command_says_whose_price_it_is(housed: Gateway) -> None:
    lines = {line["model"]: line for line in command_json(housed, "prices", "list")}
    assert {name: line["source"] for name, line in lines.items()} == dict.fromkeys(LIST, "house") | {
        "gpt-4o": "catalogue"
    }
    assert lines["deepseek-v4-pro"]["rates"] == {"input": "0.6", "cache_read": "0.005", "output": "1.2"}


@pytest.mark.parametrize("verb", [("serve", "--port", "0"), ("config", "check"), ("prices", "list")])
def test_a_bad_price_is_refused_at_the_start(housed: Gateway, tmp_path: Path, verb: tuple[str, ...]) -> None:
    (tmp_path / "bad-house.toml").write_text('[prices."deepseek-v4-flash"]\ninput = "0.16"\noutput = 0.30\n', "utf-8")
    lines = [
        line if not line.startswith("house = ") else 'house = "bad-house.toml"'
        for line in housed.config.read_text("utf-8").splitlines()
    ]
    (tmp_path / "bad.toml").write_text("\n".join(lines), "utf-8")
    words = [sys.executable, "-m", "faregate", *verb, "--config", str(tmp_path / "bad.toml")]
    done = subprocess.run(words, capture_output=True, text=True, env=CLEAN, timeout=30, check=False)
    assert done.returncode != 0
    assert f"{tmp_path / 'bad-house.toml'}:3: prices.deepseek-v4-flash.output: a float is not exact" in done.stderr
    assert "Traceback" not in done.stderr
