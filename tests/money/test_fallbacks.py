"""What a call costs whose model has fallbacks: the hold covers the dearest, the charge is of the one that served."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faregate.core.money import format_amount
from tests.edge.spares import hanging_up, refusing
from tests.running.client import CHAT, Answer, eventually
from tests.running.processes import Gateway
from tests.running.upstreams import ROLE, Upstream, Visit, refused_port, said

from .books import Books, Customer, Reservation, customer_of
from .structured.judging import BAD, COMPLETION, GOOD, PROMPT, answering, said_by, way

CHEAP, DEAR = (1_000_003, 2_000_029), (7_000_001, 40_000_003)  # pico-USD of a token, in and out
OUTPUT_MAX, LESS, LITTLE = 20_000, 8_000, 500
both_ways = pytest.mark.parametrize("stream", [False, True])


def cost_of(rates: tuple[int, int], prompt: int = PROMPT, completion: int = COMPLETION) -> int:
    """Rounded up once: the test's own arithmetic, not the gateway's."""
    return -(-(prompt * rates[0] + completion * rates[1]) // 1000)


def _model(name: str, provider: str, rates: tuple[int, int], *fallbacks: str, most: int = OUTPUT_MAX) -> str:
    prices = [f"{rate / 1_000_000:.6f}" for rate in rates]
    return f"""
[models."{name}"]
max_output_tokens = {most}
price = {{ input = "{prices[0]}", output = "{prices[1]}" }}
fallbacks = {list(fallbacks)}
[[routes]]
model = "{name}"
provider = "{provider}"
upstream_model = "up-{name}"
"""


def settings(first: Upstream, spare: Upstream) -> str:
    """`lost-*` are at nobody's, `led-*` at `first`, all others at `spare`."""
    urls = {"nobody": f"http://127.0.0.1:{refused_port()}/v1", "first": first.base_url, "spare": spare.base_url}
    tables = [
        f'[providers.{name}]\nbase_url = "{url}"\nkey = "{name}-secret-key"\nwire = "exact"\nmodels = []\n'
        for name, url in urls.items()
    ]
    tables += [
        f'[providers.other-{name}]\nbase_url = "{urls[name]}"\nkey = "other-secret-key"\nwire = "exact"\n'
        'dialect = "anthropic_messages"\nmodels = []\n'
        for name in ("nobody", "spare")
    ]
    tables += [
        _model("cheap", "spare", CHEAP),
        _model("dear", "spare", DEAR),
        _model("lost-cheap", "nobody", CHEAP, "dear"),
        _model("lost-dear", "nobody", DEAR, "cheap"),
        _model("led-cheap", "first", CHEAP, "dear"),
        _model("led-dear", "first", DEAR, "cheap"),
        _model("little", "spare", DEAR, most=LITTLE),
        _model("lost-little", "nobody", DEAR, most=LITTLE),
        _model("less", "spare", CHEAP, most=LESS),
        _model("less-other", "other-spare", CHEAP, most=LESS),
        _model("lost-little-other", "other-nobody", DEAR, most=LITTLE),
        _model("lost-long", "nobody", CHEAP, "little"),
        _model("led-long", "first", CHEAP, "little"),
        _model("lost-longer", "nobody", CHEAP, "lost-little", "less"),
        _model("lost-other", "nobody", CHEAP, "lost-little-other", "less-other"),
        '[models."later"]\n[[models."later".prices]]\nfrom = 2099-01-01\ninput = "1"\noutput = "2"\n',
        '[[routes]]\nmodel = "later"\nprovider = "spare"\n',
        _model("led-later", "first", CHEAP, "later", "dear"),
        _model("led-trusted", "first", CHEAP, "dear")
        + "[models.led-trusted.capabilities]\nstructured_outputs = true\n",
    ]
    return '[ledger]\ndemo_credit = "100"\n' + "".join(tables)


@pytest.fixture(scope="module")
def spare() -> Iterator[Upstream]:
    """Where the fallbacks are."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def shop(session_folder: Path, scripted: Upstream, spare: Upstream) -> Iterator[Gateway]:
    """See `settings`. In the end its books are in order and nothing is leased."""
    gateway = Gateway(session_folder, settings(scripted, spare))
    yield gateway
    assert gateway.stop() == 0
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0


_numbers = itertools.count()


@pytest.fixture
def buyer(shop: Gateway) -> Callable[..., Customer]:
    def make(credit: str = "10", model: str = "lost-cheap") -> Customer:
        return customer_of(shop, f"buyer-{next(_numbers)}", credit, model)

    return make


def asked(buyer: Customer, *, stream: bool = False, **members: Any) -> Answer:
    return buyer.ask("POST", CHAT, buyer.body(stream=stream, **members))


def paid(buyer: Customer, answer: Answer, cost: int, by: str) -> Reservation:
    """The reservation of a customer's only call, once record and books say that it was charged so much, as `by`."""
    held = buyer.settled(answer.header("x-request-id"))
    assert (held.charged, held.cost, buyer.spent) == (cost, cost, cost)
    assert buyer.leased == 0 or eventually(lambda: buyer.leased == 0)
    record = buyer.record(answer.header("x-request-id"))
    assert (record["cost"], record["model"]) == (format_amount(cost), by)
    return held


def version_of(buyer: Customer, answer: Answer) -> str:
    return buyer.record(answer.header("x-request-id"))["price_version"]


@pytest.mark.contract("3.5", "7.1")
@both_ways
@pytest.mark.parametrize(("first", "by", "rates"), [("cheap", "dear", DEAR), ("dear", "cheap", CHEAP)])
def test_the_charge_is_of_the_one_that_served(
    first: str, by: str, rates: tuple[int, int], stream: bool, buyer: Callable[..., Customer], spare: Upstream
) -> None:
    """The hold is of the dearest, whether it comes first or not; the price on record is the one that was charged by."""
    spare.play(answering("openai_chat", "words", "words"))
    one = buyer(model=f"lost-{first}")
    answer = asked(one, stream=stream, max_tokens=1000)
    assert (answer.status, answer.header("x-model-used")) == (200, by)
    held = paid(one, answer, cost_of(rates), by)
    assert held.hold >= cost_of(DEAR, 0, 1000)
    assert held.hold < cost_of(DEAR, 1000, 1000)  # and of no two of them together
    assert (answer.header("x-faregate-token-rate") or "").startswith(f"input={rates[0] / 1e6:.6f}")
    plain = buyer(model=by)
    assert version_of(one, answer) == version_of(plain, asked(plain, stream=stream))
    if not stream:
        assert answer.header("x-credits-used") == format_amount(held.charged)


@both_ways
def test_what_was_not_needed_is_not_charged(
    stream: bool, buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    scripted.play(answering("openai_chat", "words"))
    visits = spare.play(hanging_up)
    one = buyer(model="led-cheap")
    paid(one, asked(one, stream=stream), cost_of(CHEAP), "led-cheap")
    assert not visits


@both_ways
@pytest.mark.parametrize("script", [refusing(400), refusing(500), hanging_up])
def test_where_nobody_answers_nothing_is_charged(
    script: Callable[[Visit], None], stream: bool, buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    scripted.play(hanging_up)
    spare.play(script)
    one = buyer(model="led-dear")
    answer = asked(one, stream=stream)
    assert (answer.status, answer.header("x-credits-used")) == (503, None)
    paid(one, answer, 0, "cheap")


@pytest.mark.contract("7.1")
def test_who_cannot_pay_the_dearest_is_refused(
    buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    """Before anybody is asked, though the first would be cheap enough; a nano-dollar more, and it is served."""
    rich = buyer(model="led-cheap")
    scripted.play(answering("openai_chat", "words", "words"))
    hold = rich.settled(asked(rich, max_tokens=1000).header("x-request-id")).hold
    visits = scripted.play(answering("openai_chat", "words"))
    short, enough = (buyer(format_amount(hold - less), "led-cheap") for less in (1, 0))
    answer = asked(short, max_tokens=1000)
    assert (answer.status, answer.error["code"]) == (402, "insufficient_funds")
    assert not visits
    assert asked(enough, max_tokens=1000).status == 200


@both_ways
def test_a_lowered_bound_holds_for_both(
    stream: bool, buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    """The first is told what half of the credit buys of the dearer one, and so is that one."""
    free = cost_of(DEAR, 0, OUTPUT_MAX)  # of a hold of somewhat more
    one = buyer(format_amount(free), "led-cheap")
    visits = scripted.play(hanging_up)
    taken = spare.play(answering("openai_chat", "words"))
    answer = asked(one, stream=stream)
    assert answer.status == 200, answer.body
    [first], [second] = visits, taken
    bound = first.json()["max_completion_tokens"]
    assert second.json()["max_completion_tokens"] == bound
    assert 4096 <= bound <= OUTPUT_MAX // 2
    assert [value for name, value in answer.fields if name == "x-faregate-adjusted"] == [f"max_tokens={bound}"]
    held = paid(one, answer, cost_of(DEAR), "dear")
    assert cost_of(DEAR, 0, bound) <= held.hold <= free // 2


def caps(answer: Answer) -> list[str]:
    """All that the head says of what was adjusted."""
    return [value for name, value in answer.fields if name == "x-faregate-adjusted"]


@pytest.mark.contract("4.3")
@both_ways
@pytest.mark.parametrize("wanted", [None, 300, 1000, OUTPUT_MAX + 1])
def test_the_bound_is_that_of_the_one_that_serves(
    wanted: int | None, stream: bool, buyer: Callable[..., Customer], spare: Upstream
) -> None:
    visits = spare.play(answering("openai_chat", "words"))
    one = buyer(model="lost-long")
    answer = asked(one, stream=stream, **({} if wanted is None else {"max_tokens": wanted}))
    assert answer.status == 200
    [visit] = visits
    assert visit.json().get("max_tokens") == (None if wanted is None else min(wanted, LITTLE))
    assert caps(answer) == ([f"max_tokens={LITTLE}"] if wanted is not None and wanted > LITTLE else [])
    held = paid(one, answer, cost_of(DEAR), "little")
    assert held.hold < cost_of(DEAR, 1000, LITTLE) + cost_of(CHEAP, 1000, OUTPUT_MAX)


@both_ways
@pytest.mark.parametrize("first", ["lost-longer", "lost-other"])
def test_the_bound_of_one_that_failed_is_nobody_elses(
    first: str, stream: bool, buyer: Callable[..., Customer], spare: Upstream
) -> None:
    """The first fallback would have been cut at less than the second, which serves."""
    by = "less" if first == "lost-longer" else "less-other"
    for wanted, sent, said_of_it in ((9_000, LESS, [f"max_tokens={LESS}"]), (5_000, 5_000, [])):
        visits = spare.play(answering("openai_chat" if by == "less" else "anthropic_messages", "words"))
        one = buyer(model=first)
        answer = asked(one, stream=stream, max_tokens=wanted)
        assert (answer.status, answer.header("x-model-used")) == (200, by)
        [visit] = visits
        assert (visit.json()["max_tokens"], caps(answer)) == (sent, said_of_it)
        assert paid(one, answer, cost_of(CHEAP), by).hold >= cost_of(CHEAP, 0, sent)


def test_a_stream_that_its_client_cuts_is_paid_as_far_as_it_came(
    buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    """At the price of the fallback that was answering."""
    gone = threading.Event()

    def goes_on(visit: Visit) -> None:
        visit.stream(ROLE, said("one"), said(" two"), said(" three"))
        visit.until_gone()
        gone.set()

    scripted.play(hanging_up)
    spare.play(goes_on)
    one = buyer(model="led-cheap")
    with one.stream() as connection:
        connection.body_until(b" three")
        request_id = connection.current.header("x-request-id")
        assert connection.current.header("x-model-used") == "dear"
    assert gone.wait(30)
    held = one.settled(request_id)
    usage = one.record(request_id)["usage"]
    assert usage["completion_tokens"] == 3
    assert held.charged == one.spent == cost_of(DEAR, usage["prompt_tokens"], 3)


# Schemas


@pytest.mark.contract("5.4")
def test_who_is_asked_again_is_the_one_that_answered(
    buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    """Both answers are the fallback's, and both are paid for at its price; the first model is not tried again."""
    one = buyer(model="led-cheap")
    how = way("openai_chat", "led-cheap")
    tried = scripted.play(hanging_up)
    visits = spare.play(answering("openai_chat", BAD, GOOD))
    answer = one.ask("POST", how.path, how.body)
    assert (answer.status, said_by("openai_chat", answer)) == (200, GOOD)
    assert [visit.json()["model"] for visit in visits] == ["up-dear", "up-dear"]
    assert len(tried) == 1
    assert (answer.header("x-fallback-from"), answer.header("x-fallback-depth")) == ("led-cheap", "1")
    held = paid(one, answer, 2 * cost_of(DEAR), "dear")
    assert held.hold >= 2 * cost_of(DEAR, 0, OUTPUT_MAX)


@pytest.mark.contract("5.4")
@pytest.mark.parametrize("second", [BAD, 500, 400])
def test_where_the_second_answer_is_no_better(
    second: str | int, buyer: Callable[..., Customer], spare: Upstream
) -> None:
    one = buyer(model="lost-dear")
    how = way("openai_chat", "lost-dear")
    spare.play(answering("openai_chat", BAD, second, 500))
    answer = one.ask("POST", how.path, how.body)
    assert (answer.status, answer.error["code"]) == (422, "schema_validation_failed")
    paid(one, answer, (2 if second == BAD else 1) * cost_of(CHEAP), "cheap")


@both_ways
def test_one_that_is_trusted_is_trusted_though_its_fallback_is_not(
    stream: bool, buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    """Its answer is given as it is, and paid for once."""
    one = buyer(model="led-trusted")
    how = way("openai_chat", "led-trusted", stream=stream)
    visits = scripted.play(answering("openai_chat", BAD, GOOD))
    answer = one.ask("POST", how.path, how.body, {"x-faregate-structured": "strict"})
    assert (answer.status, said_by("openai_chat", answer, stream=stream)) == (200, BAD)
    assert len(visits) == 1
    paid(one, answer, cost_of(CHEAP), "led-trusted")
    scripted.play(hanging_up)
    spare.play(answering("openai_chat", BAD, GOOD))
    two = buyer(model="led-trusted")
    answer = two.ask("POST", how.path, how.body, {"x-faregate-structured": "strict"})
    assert (answer.status, said_by("openai_chat", answer, stream=stream)) == (200, GOOD)
    paid(two, answer, 2 * cost_of(DEAR), "dear")


def test_a_schema_that_only_the_first_can_read_is_no_fault(buyer: Callable[..., Customer], scripted: Upstream) -> None:
    one = buyer(model="led-trusted")
    scripted.play(answering("openai_chat", GOOD))
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "vendors-own"}}}
    answer = asked(one, response_format=wanted)
    assert answer.status == 200, answer.body
    paid(one, answer, cost_of(CHEAP), "led-trusted")


# Prices that are not there yet


@both_ways
def test_a_fallback_whose_price_begins_later_is_passed_over(
    stream: bool, buyer: Callable[..., Customer], scripted: Upstream, spare: Upstream
) -> None:
    scripted.play(answering("openai_chat", "words"))
    one = buyer(model="led-later")
    paid(one, asked(one, stream=stream), cost_of(CHEAP), "led-later")
    scripted.play(hanging_up)
    visits = spare.play(answering("openai_chat", "words"))
    two = buyer(model="led-later")
    answer = asked(two, stream=stream)
    assert answer.header("x-fallback-depth") == "1"
    paid(two, answer, cost_of(DEAR), "dear")
    assert [visit.json()["model"] for visit in visits] == ["up-dear"]
