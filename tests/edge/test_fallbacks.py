"""Named models take the place of one that nobody can serve: who is asked for what, and what the client is told."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.money.structured.judging import answering, said_by
from tests.running.client import Answer, Caller
from tests.running.processes import Gateway
from tests.running.upstreams import ROLE, Upstream, Visit, said

from .limiting import SHAPES, Tenants
from .spares import CLIENTS, FIRST_OF, LONG, PICTURE, SOUND, hanging_up, models_said, refusing, settings

HEADERS = ("x-fallback-from", "x-fallback-depth", "x-model-used", "x-faregate-failover")
SERVED = "of-openai_chat"
both_ways = pytest.mark.parametrize("stream", [False, True])


def told(answer: Answer) -> tuple[str | None, ...]:
    """What the headers say of how an answer came about."""
    return tuple(answer.header(name) for name in HEADERS)


@pytest.fixture(scope="module")
def spare() -> Iterator[Upstream]:
    """Where the fallbacks are."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def relieved(session_folder: Path, scripted: Upstream, spare: Upstream) -> Iterator[Gateway]:
    """See spares.settings."""
    process = Gateway(session_folder, settings(scripted, spare))
    yield process
    process.stop()


@pytest.fixture
def caller(relieved: Gateway) -> Caller:
    return Caller(relieved, model="lost-openai_chat")


@pytest.fixture
def visits(spare: Upstream) -> list[Visit]:
    """Who came to the fallbacks, which answer in the dialect of OpenAI's chat."""
    return spare.play(answering("openai_chat", *["words"] * 9))


def asked_for(visits: list[Visit]) -> list[str]:
    """The models that an upstream of that dialect was asked for."""
    return [visit.json()["model"] for visit in visits]


@pytest.mark.contract("3.1", "3.5", "4.3")
@both_ways
@pytest.mark.parametrize("upstream", CLIENTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_fallback_answers(client: str, upstream: str, stream: bool, caller: Caller, spare: Upstream) -> None:
    visits = spare.play(answering(upstream, "words"))
    asked, served = f"lost-{upstream}", f"of-{upstream}"
    answer = SHAPES[client].ask(caller, asked, stream=stream)
    assert answer.status == 200, answer.body
    assert told(answer) == (asked, "1", served, "true")
    assert said_by(client, answer, stream=stream) == "words"
    named = models_said(answer)
    assert named and set(named) == {served}
    if client in ("openai_chat", "gemini_generate") and stream:
        assert len(named) > 2  # in every chunk
    [visit] = visits
    sent = visit.head.partition(b"\r\n")[0] + visit.body
    assert f"up-{served}".encode() in sent
    assert asked.encode() not in visit.head + visit.body
    record = caller.record(answer.header("x-request-id"))
    assert (record["model_asked"], record["model"], record["attempts"]) == (asked, served, 2)
    assert (record["target"]["provider"], record["target"]["upstream_model"]) == (upstream, f"up-{served}")
    assert (record["status"], record["usage"]["prompt_tokens"]) == (200, 11)


@pytest.mark.contract("4.3")
@both_ways
def test_the_second_fallback_answers(stream: bool, caller: Caller, visits: list[Visit]) -> None:
    answer = caller.ask("POST", "/v1/chat/completions", caller.body(model="twice", stream=stream))
    assert (answer.status, told(answer)) == (200, ("twice", "2", SERVED, "true"))
    assert set(models_said(answer)) == {SERVED}
    assert asked_for(visits) == [f"up-{SERVED}"]
    assert caller.record(answer.header("x-request-id"))["attempts"] == 3


@pytest.mark.contract("4.3")
@both_ways
def test_without_need_there_is_none(stream: bool, caller: Caller, scripted: Upstream, visits: list[Visit]) -> None:
    scripted.play(answering("openai_chat", "mine"))
    answer = caller.ask("POST", "/v1/chat/completions", caller.body(model="led", stream=stream))
    assert (answer.status, told(answer)) == (200, (None, "0", "led", "false"))
    assert set(models_said(answer)) == {"led"}
    assert not visits


@both_ways
def test_one_that_its_provider_calls_the_same_is_asked_for(stream: bool, caller: Caller, visits: list[Visit]) -> None:
    """Its body is the client's own, but for the name."""
    body = caller.body(model="lost-plainly", stream=stream)
    answer = caller.ask("POST", "/v1/chat/completions", body)
    assert (answer.status, told(answer)) == (200, ("lost-plainly", "1", "plainly", "true"))
    [visit] = visits
    assert {name: visit.json()[name] for name in body} == {**body, "model": "plainly"}


def test_an_alias_is_told_of_by_its_model(caller: Caller, visits: list[Visit]) -> None:
    """As `x-model-used` names it; what the client wrote is in the record."""
    answer = caller.chat(model="nick")
    assert (answer.status, told(answer)) == (200, ("lost-openai_chat", "1", SERVED, "true"))
    assert caller.record(answer.header("x-request-id"))["model_asked"] == "nick"
    assert asked_for(visits) == [f"up-{SERVED}"]


UNFIT: dict[str, tuple[dict[str, Any], dict[str, str], tuple[str, ...]]] = {
    "barred": ({}, {}, ("--model", "then-barred", "--model", SERVED)),
    "unpriced": ({}, {}, ()),
    "blind": ({"messages": [{"role": "user", "content": [PICTURE]}]}, {}, ()),
    "deaf": ({"messages": [{"role": "user", "content": [SOUND]}]}, {}, ()),
    "small": ({"messages": [{"role": "user", "content": LONG}]}, {}, ()),
    "keeping": ({}, {"x-faregate-no-retention": "true"}, ()),
}


@pytest.mark.contract("3.5")
@pytest.mark.parametrize("why", UNFIT)
def test_who_cannot_take_the_call_is_passed_over(why: str, relieved: Gateway, visits: list[Visit]) -> None:
    members, headers, limits = UNFIT[why]
    first = FIRST_OF[why]
    answer = Tenants(relieved).key("demo", *limits).chat(model=first, headers=headers, **members)
    assert (answer.status, told(answer)) == (200, (first, "1", SERVED, "true")), answer.body
    assert asked_for(visits) == [f"up-{SERVED}"]


@pytest.mark.contract("3.5")
@pytest.mark.parametrize("why", [name for name in FIRST_OF if name not in ("unpriced", "abroad")])
def test_the_same_one_answers_who_may_have_it(why: str, caller: Caller, visits: list[Visit]) -> None:
    """Else those tests would show nothing."""
    answer = caller.chat(model=FIRST_OF[why])
    assert (answer.status, told(answer)) == (200, (FIRST_OF[why], "1", why, "true"))
    assert asked_for(visits) == [f"up-{why}"]


@pytest.mark.contract("3.5")
@pytest.mark.parametrize(("plan", "unfit"), [("here", "abroad"), ("few", "barred")])
def test_what_is_not_in_the_plan_is_passed_over(plan: str, unfit: str, relieved: Gateway, visits: list[Visit]) -> None:
    tenants = Tenants(relieved)
    organisation = tenants.organisation()
    assert relieved.command("orgs", "plan", organisation, plan).returncode == 0
    answer = tenants.key(tenants.project(organisation)).chat(model=FIRST_OF[unfit])
    assert (answer.status, told(answer)) == (200, (FIRST_OF[unfit], "1", SERVED, "true")), answer.body
    assert asked_for(visits) == [f"up-{SERVED}"]


@pytest.mark.contract("3.5")
@both_ways
def test_a_refusal_of_the_fallbacks_is_not_the_clients(stream: bool, caller: Caller, spare: Upstream) -> None:
    visits = spare.play(refusing(400))
    answer = caller.ask("POST", "/v1/chat/completions", caller.body(stream=stream))
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert b"no such thing" not in answer.body
    assert len(visits) == 1
    assert caller.record(answer.header("x-request-id"))["cost"] == "0"


@pytest.mark.contract("3.5")
@both_ways
def test_a_refusal_of_the_first_is_the_clients(
    stream: bool, caller: Caller, scripted: Upstream, visits: list[Visit]
) -> None:
    scripted.play(refusing(400))
    answer = caller.ask("POST", "/v1/chat/completions", caller.body(model="led", stream=stream))
    assert (answer.status, told(answer)) == (400, (None, "0", "led", "false"))
    assert "no such thing" in answer.error["message"]
    assert not visits


@both_ways
def test_where_all_fail_it_is_one_503(stream: bool, caller: Caller, scripted: Upstream, spare: Upstream) -> None:
    mine, visits = scripted.play(hanging_up), spare.play(hanging_up)
    answer = caller.ask("POST", "/v1/chat/completions", caller.body(model="led", stream=stream))
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert int(answer.header("retry-after") or 0) >= 1
    assert (len(mine), len(visits)) == (1, 1)
    assert caller.record(answer.header("x-request-id"))["cost"] == "0"


def test_a_stream_that_breaks_off_has_no_fallback(caller: Caller, scripted: Upstream, visits: list[Visit]) -> None:
    def begins(visit: Visit) -> None:
        visit.stream(ROLE, said("half"))
        visit.reset()

    scripted.play(begins)
    answer = caller.streamed(model="led")
    assert (answer.status, told(answer)) == (200, (None, "0", "led", "false"))
    assert b"half" in answer.body and b'"error"' in answer.body and b"words" not in answer.body
    assert not visits


def test_a_stream_that_has_not_said_anything_has_one(caller: Caller, scripted: Upstream, visits: list[Visit]) -> None:
    def begins(visit: Visit) -> None:
        visit.stream(ROLE)
        visit.reset()

    scripted.play(begins)
    answer = caller.streamed(model="led")
    assert (answer.status, told(answer)) == (200, ("led", "1", SERVED, "true"))
    assert (answer.text, set(models_said(answer))) == ("words", {SERVED})
    assert answer.body.count(b'"role"') == 1  # nothing of the first one's is left
    assert asked_for(visits) == [f"up-{SERVED}"]


def test_fallbacks_of_fallbacks_are_not_followed(caller: Caller, visits: list[Visit]) -> None:
    answer = caller.chat(model="no-further")
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert not visits


@pytest.fixture
def strict(session_folder: Path, scripted: Upstream, spare: Upstream) -> Iterator[Caller]:
    """A gateway that leaves alone at once, and for long, whoever fails."""
    impatience = {
        "FAREGATE_HEALTH_FAILURES_IN_ROW_MAX": "1",
        "FAREGATE_HEALTH_PAUSE_S_MIN": "300",
        "FAREGATE_HEALTH_PAUSE_S_MAX": "300",
        "FAREGATE_HEALTH_LAST_TRIAL_INTERVAL_S": "300",
    }
    process = Gateway(session_folder, settings(scripted, spare), impatience)
    yield Caller(process)
    process.stop()


@pytest.mark.contract("3.5", "4.3")
def test_one_that_is_known_to_be_down_is_not_asked(
    strict: Caller, scripted: Upstream, spare: Upstream, visits: list[Visit]
) -> None:
    tried = scripted.play(hanging_up)
    for attempts in (2, 1):
        answer = strict.chat(model="led")
        assert (answer.status, told(answer)) == (200, ("led", "1", SERVED, "true"))
        assert strict.record(answer.header("x-request-id"))["attempts"] == attempts
    assert (len(tried), len(visits)) == (1, 2)
    spare.play(refusing(400))
    assert strict.chat(model="led").status == 503  # what only a fallback has refused
    for _ in range(2):  # its fallback cannot be told
        assert strict.ask("POST", "/v1/completions", {"model": "led-on", "prompt": "hello"}).status == 503
    spare.play(hanging_up)
    for retries in (None, "false"):
        answer = strict.chat(model="led")
        assert (answer.status, answer.header("x-should-retry")) == (503, retries)
    assert [visit.json()["model"] for visit in tried] == ["up-led", "up-led-on"]


@pytest.mark.contract("4.3")
def test_a_repeated_answer_says_it_again(caller: Caller, visits: list[Visit], key: dict[str, str]) -> None:
    first, again = caller.chat(headers=key), caller.chat(headers=key)
    assert again.header("x-faregate-replayed") == "true"
    assert told(first) == told(again) == ("lost-openai_chat", "1", SERVED, "true")
    assert len(visits) == 1


@pytest.mark.contract("4.3")
def test_another_house_names_the_same_headers(session_folder: Path, spare: Upstream, visits: list[Visit]) -> None:
    gateway = Gateway(session_folder, f'house = "multimodal"\n{settings(spare, spare)}')
    try:
        answer = Caller(gateway).chat(model="lost-openai_chat")
        assert (answer.status, told(answer)[:3]) == (200, ("lost-openai_chat", "1", SERVED))
    finally:
        gateway.stop()


@pytest.mark.contract("3.5")
def test_it_is_counted_as_one_request(relieved: Gateway, visits: list[Visit]) -> None:
    caller = Tenants(relieved).key("demo", "--requests-per-minute", "2")
    for left in ("1", "0"):
        answer = caller.chat(model="twice")
        assert (answer.status, answer.header("x-ratelimit-remaining-requests")) == (200, left)
    assert caller.chat(model="twice").status == 429
    assert len(visits) == 2


def test_a_day_has_room_for_what_the_fallback_can_take(relieved: Gateway, visits: list[Visit]) -> None:
    """It can say more than the first one could."""
    caller = Tenants(relieved).key("demo", "--tokens-per-day", "2000")
    assert caller.chat(model="brief").status == 429
    assert not visits
    assert caller.chat(model="brief", max_tokens=20).status == 200


# What a fallback's being there may not spoil


def test_a_call_that_only_the_first_can_be_told_is_made(caller: Caller, scripted: Upstream) -> None:
    """The fallback is of another dialect, which has no completions, and what cannot be translated is nothing to it."""

    def completes(visit: Visit) -> None:
        choice = b'{"index":0,"text":"mine","finish_reason":"stop"}'
        usage = b'{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}'
        body = b'{"id":"c","object":"text_completion","created":1,"model":"m","choices":[%b],"usage":%b}'
        visit.whole(200, body % (choice, usage))

    scripted.play(completes)
    answer = caller.ask("POST", "/v1/completions", {"model": "led-on", "prompt": "hello"})
    assert (answer.status, told(answer)) == (200, (None, "0", "led-on", "false")), answer.body
    scripted.play(answering("openai_chat", "mine"))
    answer = caller.chat(model="led-on", messages=[{"role": "user", "content": ""}])
    assert (answer.status, told(answer)) == (200, (None, "0", "led-on", "false")), answer.body


@pytest.mark.contract("4.3")
def test_a_head_that_had_to_leave_is_corrected_by_the_trailer(
    session_folder: Path, scripted: Upstream, spare: Upstream, visits: list[Visit]
) -> None:
    """A comment kept the connection alive while the first model was waited for."""
    has_left = threading.Event()

    def stalls(visit: Visit) -> None:
        assert has_left.wait(30)
        visit.reset()

    scripted.play(stalls)
    gateway = Gateway(session_folder, f"[limits]\nkeep_alive_comment_s = 0.2\n{settings(scripted, spare)}")
    try:
        caller = Caller(gateway)
        with caller.stream(model="led", headers={"te": "trailers", "connection": "close"}) as connection:
            has_left.set()
            rest = connection.ended()
    finally:
        has_left.set()
        gateway.stop()
    trailer = rest.rpartition(b"\r\n0\r\n")[2]
    for line in (b"x-fallback-from: led", b"x-fallback-depth: 1", f"x-model-used: {SERVED}".encode()):
        assert line in trailer, rest[-500:]
