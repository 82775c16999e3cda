"""What a plan allows one call: its output is clamped on every wire, its input refused before anybody is asked."""

from typing import Any

import pytest

from tests.running.client import Caller
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream

from .limiting import SHAPES, Shape, Tenants, chat_bytes

CAP = 50
ADJUSTED = "x-faregate-adjusted"
UPSTREAM_OUTPUT = {name: shape.output for name, shape in SHAPES.items()} | {"openai_chat": ("max_completion_tokens",)}


@pytest.fixture(scope="module")
def capped(limited: Gateway) -> Caller:
    return Tenants(limited).key("demo", "--output-tokens", str(CAP), "--context-tokens", "500")


def outputs_of(simulator: Simulator) -> dict[tuple[str, ...], Any]:
    """The bounds on output in the last body that the simulator got, by where they stand."""
    body = simulator.get("/simulator/last_request")["body"]
    places = [("max_tokens",), ("max_completion_tokens",), ("max_output_tokens",)]
    found = {place: body[place[0]] for place in places if place[0] in body}
    config = body.get("generationConfig", {})
    return found | {("generationConfig", name): config[name] for name in ("maxOutputTokens",) if name in config}


@pytest.mark.parametrize("upstream", SHAPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_output_is_clamped_from_every_dialect_to_every_other(
    shape: Shape, upstream: str, capped: Caller, simulator: Simulator
) -> None:
    name = ".".join(shape.output)
    for stream in (False, True):
        answer = shape.ask(capped, upstream, output=CAP * 10, stream=stream)
        assert answer.status == 200, answer.body
        [(place, value)] = outputs_of(simulator).items()
        assert value == CAP
        assert place[-1] in (UPSTREAM_OUTPUT[upstream][-1], shape.output[-1])
        assert f"{name}={CAP}" in (answer.header(ADJUSTED) or "")
    less = shape.ask(capped, upstream, output=CAP - 20)
    assert list(outputs_of(simulator).values()) == [CAP - 20]
    assert name not in (less.header(ADJUSTED) or "")
    if shape.dialect != "anthropic_messages":  # where it has to be said
        silent = shape.ask(capped, upstream)
        assert outputs_of(simulator) == {UPSTREAM_OUTPUT[upstream]: CAP}
        assert f"{name}={CAP}" in (silent.header(ADJUSTED) or "")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_client_is_told_by_the_name_that_it_used(name: str, capped: Caller, simulator: Simulator) -> None:
    answer = capped.chat(model="openai_chat", **{name: 900})
    assert answer.header(ADJUSTED) == f"{name}={CAP}"
    assert outputs_of(simulator) == {(name,): CAP}


def test_the_legacy_wire_has_one_name(capped: Caller, simulator: Simulator) -> None:
    answer = capped.ask("POST", "/v1/completions", {"model": "openai_chat", "prompt": "hello"})
    assert answer.header(ADJUSTED) == f"max_tokens={CAP}"
    assert outputs_of(simulator) == {("max_tokens",): CAP}


def test_the_answer_is_no_longer_than_that(capped: Caller) -> None:
    answer = capped.chat({"output_tokens": 400}, model="openai_chat")
    assert answer.json()["usage"]["completion_tokens"] == CAP
    assert answer.json()["choices"][0]["finish_reason"] == "length"


@pytest.mark.contract("3.7")
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_has_a_longest_request_of_its_own(stream: bool, capped: Caller) -> None:
    answer = capped.chat({"stall_before_head_ms": 25_000}, model="hasty", stream=stream)
    assert (answer.status, answer.error["code"]) == (504, "request_timeout")
    assert answer.header("retry-after") == "1"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_too_much_input_is_refused_before_anybody_is_asked(
    shape: Shape, stream: bool, capped: Caller, scripted: Upstream
) -> None:
    visits = scripted.play(lambda visit: visit.whole(500, b"{}"))
    answer = shape.ask(capped, "scripted", stream=stream, text="word " * 1000)
    assert answer.status == 413
    error = answer.json()["error"]
    assert "your plan allows 500" in error["message"]
    if shape.dialect == "openai_chat":
        assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
    assert not visits
    assert shape.ask(capped, "scripted", stream=stream).status == 503
    assert visits


def test_others_calls_do_not_move_the_cap(limited: Gateway, capped: Caller) -> None:
    """A thousand prompts that are all JSON, or all hidden from us, say nothing of what a text is."""
    caller = Tenants(limited).key()
    caller.model = "strange-model"  # no other test is to learn from it
    for plan in ({"cached_tokens": 0}, {"cached_tokens": 2000}):
        with caller.open() as connection:
            for _ in range(60):
                connection.send(chat_bytes(caller, simulator={**plan, "output_tokens": 1}))
                assert connection.answer().status == 200
        for words, status in ((1000, 413), (120, 200)):
            messages = [{"role": "user", "content": "word " * words}]
            assert capped.chat(model="strange-model", messages=messages).status == status


def test_a_quote_tells_of_what_plans_forbid_and_takes_nothing(limited: Gateway, scripted: Upstream) -> None:
    tenants = Tenants(limited)
    words = ("--requests-per-minute", "1", "--model", "test-model", "--context-tokens", "500", "--output-tokens", "60")
    caller = tenants.key("demo", *words)

    def quote(**members: Any) -> Any:
        asked = {"path": "/v1/chat/completions", "body": caller.body(**members)}
        return caller.ask("POST", "/v1/quote", asked).json()

    def would_be(**members: Any) -> tuple[int, str | None]:
        found = quote(**members)["would_be"]
        return found["status"], found["code"]

    for _ in range(3):
        assert would_be() == (200, None)
    assert quote()["output_tokens_max"] == 60
    long = [{"role": "user", "content": "word " * 1000}]
    assert would_be(messages=long) == (413, "context_length_exceeded")
    assert would_be(model="scripted") == (403, "model_not_available")
    assert caller.chat().status == 200
    assert would_be() == (429, "rate_limit_exceeded")
    busy = tenants.key("demo", "--concurrency", "1", "--tokens-per-day", "3000")
    busy_quote = {"path": "/v1/chat/completions", "body": busy.body(max_tokens=5000)}
    found = busy.ask("POST", "/v1/quote", busy_quote).json()["would_be"]
    assert (found["status"], found["code"]) == (429, "rate_limit_exceeded")
    assert "3000 tokens a day" in found["message"]
