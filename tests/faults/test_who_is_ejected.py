"""What ejects a provider at once, and what nobody is ejected for, whatever a client does."""

import json

import pytest

from tests.faults.wards import CLIENTS, IN_ROW, Ward, assert_all_down, refuses, serves, storm
from tests.running.client import CHAT, eventually
from tests.running.processes import Gateway
from tests.running.upstreams import ROLE, Upstream, Visit, said

# What only the operator can mend


def test_a_bad_key_ejects_the_provider_at_once(steady: Ward) -> None:
    secret = f"secret-of-{steady.name}"
    visits = steady.play(refuses(401, "invalid_api_key", message=f"Incorrect API key: {secret}"))
    answers = [steady.first(stream=stream) for stream in (False, True) * 3]
    assert {answer.status for answer in answers} == {200}
    assert_all_down(steady.alone())  # another model, the same key
    assert len(visits) == 1
    [line] = eventually(steady.ejections)
    assert (line["level"], line["target"]) == ("error", steady.name)
    assert line["reason"] == "status 401: invalid_api_key"
    assert secret not in steady.caller.gateway.log.read_text("utf-8")


def test_a_bad_key_of_the_only_target_is_not_the_client_s(steady: Ward) -> None:
    visits = steady.play(refuses(401, "invalid_api_key"))
    answers = storm(steady.alone, 2 * CLIENTS)
    assert {(answer.status, answer.error["code"]) for answer in answers} == {(503, "upstream_unavailable")}
    assert 1 <= len(visits) <= CLIENTS


@pytest.mark.parametrize(
    ("status", "code", "message", "reason"),
    [
        (400, "API_KEY_INVALID", "API key not valid.", "status 400: API_KEY_INVALID"),
        (400, None, "Your credit balance is too low to access the API.", "status 400"),
        (402, None, "pay", "status 402"),
        (407, None, "who are you", "status 407"),
        (429, "insufficient_quota", "You exceeded your current quota.", "status 429: insufficient_quota"),
    ],
)
def test_whatever_refuses_us_ejects_the_provider(
    status: int, code: str | None, message: str, reason: str, steady: Ward
) -> None:
    visits = steady.play(refuses(status, code, fields=b"retry-after: 1\r\n", message=message))
    answer = steady.alone()
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert message not in answer.body.decode()
    assert steady.served_by(steady.first()) == ("sim", 1)  # another model, the same provider
    assert_all_down(steady.alone())
    assert len(visits) == 1
    [line] = eventually(steady.ejections)
    assert (line["level"], line["target"], line["reason"]) == ("error", steady.name, reason)


def test_google_s_word_for_a_bad_key_ejects_it(steady_gateway: Gateway, failing: Upstream) -> None:
    google = Ward(steady_gateway, "google", failing)
    google.caller.model = "of-another-dialect"
    error = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    words = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [error]}
    visits = google.play(lambda visit: visit.whole(400, json.dumps({"error": words}).encode()))
    answer = google.caller.chat()
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert_all_down(google.caller.chat(stream=True))
    assert len(visits) == 1
    [line] = eventually(google.ejections)
    assert (line["level"], line["target"], line["reason"]) == ("error", "google", "status 400: API_KEY_INVALID")


# What says nothing of a target


@pytest.mark.parametrize("status", [403, 404, 424])
def test_a_client_that_asks_for_what_there_is_not_ejects_nobody(status: int, steady: Ward) -> None:
    """A file that is not there, or another's, or a model that the account does not have."""

    def script(visit: Visit) -> None:
        (refuses(status) if "file" in visit.json() else serves)(visit)

    visits = steady.play(script)
    for _ in range(2 * IN_ROW):
        answer = steady.alone(file="file-of-nobody")
        assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
        assert answer.header("x-should-retry") != "false"
    for _ in range(2 * IN_ROW):
        assert steady.served_by(steady.first(file="file-of-nobody")) == ("sim", 2)
    assert len(visits) == 4 * IN_ROW
    for call in (steady.alone, steady.first):
        assert steady.served_by(call()) == (steady.name, 1)
    assert steady.ejections() == []
    assert not steady.is_ejected()


@pytest.mark.parametrize("status", [400, 422])
def test_what_the_client_asks_wrongly_ejects_nobody(status: int, steady: Ward) -> None:
    visits = steady.play(refuses(status))
    for call in (steady.alone, steady.first) * 2 * IN_ROW:
        assert call().status == status
    assert len(visits) == 4 * IN_ROW
    assert steady.ejections() == []


@pytest.mark.parametrize("stage", ["whole", "before the head", "in mid-stream"])
def test_a_client_that_leaves_ejects_nobody(stage: str, steady: Ward) -> None:
    def script(visit: Visit) -> None:
        if stage == "in mid-stream":
            visit.stream(ROLE, said("hello"))
        visit.until_gone()

    visits = steady.play(script)
    for number in range(2 * IN_ROW):
        with steady.caller.open() as connection:
            body = steady.caller.body(stream=stage != "whole", model=steady.name)
            connection.send(steady.caller.bytes_of("POST", CHAT, body))
            eventually(lambda number=number: len(visits) > number)
            if stage == "in mid-stream":
                connection.head()
                connection.body_until(b"hello")
            connection.reset()
        eventually(lambda number=number: visits[number].gone_at)
    steady.play(serves)
    assert steady.served_by(steady.alone()) == (steady.name, 1)
    assert steady.ejections() == []
