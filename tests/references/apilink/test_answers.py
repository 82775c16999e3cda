"""The apilink reference on errors, limits, prices and privacy, statement by statement."""

import uuid
from decimal import Decimal

import openai
import pytest

from tests.running.client import Caller, eventually, last_entry
from tests.running.processes import Gateway, Simulator

from ..examples import sdk
from ..ladder import climb
from ..tenants import command, tenant_of
from .house import MEMBERS, MODEL, assert_error, house_file

# Errors


@pytest.mark.contract("7.1", "9")
def test_no_balance(apilink: Gateway, simulator: Simulator) -> None:
    """ "402 | insufficient_quota | Balance is $0.00 — recharge in the dashboard": and the words that are printed."""
    caller = tenant_of(apilink, "poor").key(model=MODEL)
    since = last_entry(simulator)
    for answer in (caller.chat(), caller.chat(stream=True)):
        assert_error(answer, 402, "insufficient_quota")
        assert answer.error["message"] == "Insufficient balance. Recharge at https://apilink.io/dashboard"
    assert last_entry(simulator) == since


@pytest.mark.contract("7.1", "7.3")
def test_less_than_the_estimate(apilink: Gateway, simulator: Simulator) -> None:
    """ "If your balance is below the estimate, the request returns a 402 error before reaching the upstream"."""
    tenant = tenant_of(apilink, "thrifty")
    command(apilink, "credits", "add", tenant.organisation, "0.001", "--reason", "paid")
    caller = tenant.key(model=MODEL)
    affordable = caller.chat(max_tokens=100)
    assert (affordable.status, Decimal(affordable.header("x-credits-used") or "") > 0) == (200, True)
    since = last_entry(simulator)
    answer = caller.chat(max_tokens=16_000)  # 0.0096 at most
    assert_error(answer, 402, "insufficient_quota")
    assert last_entry(simulator) == since
    assert caller.chat(max_tokens=100).status == 200  # what was not spent is there


@pytest.mark.contract("3.1", "9")
def test_no_such_model(apilink: Gateway, caller: Caller) -> None:
    """ "404 | invalid_request_error | Model not found or not active"."""
    for name in ("openai/gpt-nothing", "acme/gpt-4o", "gpt-5.5"):  # the last is known, and nobody serves it
        assert_error(caller.chat(model=name), 404, "invalid_request_error")
        assert_error(caller.get(f"/v1/models/{name}"), 404, "invalid_request_error")
    with sdk(apilink) as client, pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/gpt-nothing")


@pytest.mark.contract("6.1", "4.4", "4.5", "9")
def test_sixty_requests_a_minute(apilink: Gateway) -> None:
    """ "429 | rate_limit_exceeded | Over 60 requests/min per key (default limit)"; "Rate limit headers are not yet
    returned."."""
    tenant = tenant_of(apilink, "busy", "--metered")
    caller, other = tenant.key(model=MODEL), tenant.key(model=MODEL)
    answers = []
    with caller.open() as connection:
        for _ in range(61):
            connection.send(caller.bytes_of("POST", "/v1/chat/completions", caller.body()))
            answers.append(connection.answer())
    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert_error(answers[-1], 429, "rate_limit_exceeded")
    assert 1 <= int(answers[-1].header("retry-after") or "") <= 60
    assert not [name for answer in answers for name in answer.names if "ratelimit" in name]
    with sdk(apilink, caller.key) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    assert other.chat().status == 200


@pytest.mark.contract("9")
def test_our_fault(apilink: Gateway) -> None:
    """ "500 | api_error | Internal server error": no request makes one, so the house's table is asked."""
    assert '\ninternal_error = [500, "api_error", "internal_error"]\n' in house_file(apilink)


@pytest.mark.contract("3.6", "4.5", "9")
def test_upstreams_unavailable(apilink: Gateway, caller: Caller) -> None:
    """ "503 | api_error | All upstream providers unavailable, retry shortly": with the time after which to."""
    for plan in ({"status": 500}, {"status": 401}, {"cut_after_bytes": 0}, {"malformed": "html"}):
        for stream in (False, True):
            assert_error(caller.chat(plan, stream=stream), 503, "api_error")
    limited = caller.chat({"status": 429, "retry_after_s": 7})
    assert_error(limited, 503, "api_error")
    assert limited.header("retry-after") == "7"
    *_, error, done = caller.streamed({"cut_after_bytes": 1500}).events
    assert (list(error["error"]), error["error"]["type"], done) == (MEMBERS, "api_error", "[DONE]")


@pytest.mark.contract("4.1", "9")
def test_request_ids(caller: Caller) -> None:
    """ "Every API response includes an X-Request-Id header."; "Every error response includes a request_id field."."""
    with caller.stream() as stream:
        answers = [stream.current]
    answers += [caller.chat(), caller.get("/v1/models"), caller.chat(messages=[]), caller.get("/v1/requests/x")]
    answers += [Caller(caller.gateway, "none").chat(), caller.chat({"status": 500})]
    ids = [answer.header("x-request-id") or "" for answer in answers]
    assert [uuid.UUID(each).version for each in ids] == [7] * len(ids)
    errors = [
        (answer.error["request_id"], each) for answer, each in zip(answers, ids, strict=True) if answer.status > 200
    ]
    assert len(errors) == 4 and all(told == each for told, each in errors)


@pytest.mark.contract("9")
def test_the_order_of_checks(apilink: Gateway) -> None:
    """ "Error Codes": of a request with many flaws the first in the order is told, in this house's words."""
    answers = climb(apilink, "x-faregate-project-id", "x-faregate-no-retention")
    for answer in answers.values():
        assert list(answer.error) == MEMBERS
    bad, forbidden = "invalid_request_error", "permission_error"
    assert {step: (answer.status, answer.error["type"]) for step, answer in answers.items()} == {
        "key": (401, bad),
        "account": (403, forbidden),
        "route": (404, bad),
        "method": (405, bad),
        "project": (403, forbidden),
        "body": (400, bad),
        "model": (404, bad),
        "plan": (403, forbidden),
        "capability": (400, bad),
        "retention": (400, bad),
        "context": (413, bad),
        "rate": (429, "rate_limit_exceeded"),
        "funds": (402, "insufficient_quota"),
    }


# Limits, prices, privacy


@pytest.mark.contract("3.7", "9")
def test_the_longest_request(apilink: Gateway) -> None:
    """ "Max request timeout | 120 seconds | Per request": its figure; and, short, what the client is told."""
    assert "\nlongest_request_s = 120.0\n" in house_file(apilink)
    caller = tenant_of(apilink, "patient", "--metered").key("--longest-request", "1s", model=MODEL)
    with caller.stream({"stall_after_tokens": 2, "output_tokens": 9}) as stream:  # both in the one second
        assert_error(caller.chat({"stall_before_head_ms": 30_000}), 503, "api_error")
        *_, error, done = stream.rest().events
    assert (list(error["error"]), error["error"]["type"], done) == (MEMBERS, "api_error", "[DONE]")


@pytest.mark.contract("6.2")
def test_the_net_of_addresses(netted: Gateway) -> None:
    """ "Over 60 requests/min per key": an address has no limit of its own but for keys that are none."""
    key = command(netted, "keys", "create", "key", "--project", "demo", "--house", "apilink")["key"]
    there, models = {"x-forwarded-for": "198.51.100.1"}, "/apilink/v1/models"
    good, bad = Caller(netted, key), Caller(netted, "al-guess")
    assert good.get(models, there).status == 200
    answers = [bad.get(models, there | {"authorization": f"Bearer al-guess-{n}"}) for n in range(30)]
    assert [answer.status for answer in answers[:20]] == [401] * 20
    assert_error(answers[-1], 429, "rate_limit_exceeded")
    assert good.get(models, there).status == 200
    assert 'requests = 5000\nwindow_s = 600.0\ncounts = "without_key"' in house_file(netted)


@pytest.mark.contract("7.1", "7.2")
def test_prices(caller: Caller) -> None:
    """ "Prices are shown per 1M tokens for readability."; "Credits are deducted per request based on actual token
    usage."."""
    pricing = caller.get("/v1/models/openai/gpt-4o-mini").json()["pricing"]
    assert (pricing["input"], pricing["output"]) == ("0.15", "0.6")
    answer = caller.chat({"output_tokens": 40})
    usage = answer.json()["usage"]
    cost = usage["prompt_tokens"] * Decimal(pricing["input"]) + usage["completion_tokens"] * Decimal(pricing["output"])
    assert Decimal(answer.header("x-credits-used") or "") == cost / 1_000_000 > 0


@pytest.mark.contract("7.1", "7.3")
def test_credits_go_down_by_what_was_used(apilink: Gateway) -> None:
    """ "ApiLink uses a prepaid credit model."; "Unused credits | Roll over indefinitely — no expiry"."""
    tenant = tenant_of(apilink, "saver")
    command(apilink, "credits", "add", tenant.organisation, "5", "--reason", "paid")
    spent = Decimal(tenant.key(model=MODEL).chat().header("x-credits-used") or "")
    assert spent > 0

    def account() -> bool:
        (shown,) = command(apilink, "credits", "show", tenant.organisation)
        assert (shown["credited"], shown["expires_at"]) == ("5", None)
        return (Decimal(shown["spent"]), Decimal(shown["available"])) == (spent, 5 - spent)

    assert eventually(account)


@pytest.mark.contract("7.6")
def test_content_is_not_stored(apilink: Gateway, caller: Caller) -> None:
    """ "We log request metadata ... We do not store prompt or completion content.": on no disk; and nothing is repeated
    from memory, for an idempotency key either."""
    prompt, said = f"marked prompt {uuid.uuid4()}", f"marked answer {uuid.uuid4()}"
    messages = [{"role": "user", "content": prompt}]
    headers = {"idempotency-key": str(uuid.uuid4()), "x-request-id": str(uuid.uuid4())}
    answers = [caller.chat({"text": said}, headers, messages=messages) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].header("x-request-id") != answers[1].header("x-request-id")
    assert not [name for answer in answers for name in answer.names if "replayed" in name]
    line = caller.log_line(headers["x-request-id"])
    assert line["model"] == "gpt-4o-mini" and line["cost_nano"] > 0
    files = [file for file in apilink.folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    for file in files:
        data = file.read_bytes()
        assert prompt.encode() not in data and said.encode() not in data, file
