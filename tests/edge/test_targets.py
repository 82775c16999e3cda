"""Where a call goes, and what its target cannot do: regions, retention, pictures and sound, parameters it has not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import CHAT, HELLO, Caller
from tests.running.processes import Gateway, Simulator

from .conftest import command_json

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}


@pytest.fixture(scope="module")
def spread(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """`everywhere` is had in three regions, of which one keeps nothing; `plain` neither sees nor hears; `other` is of
    another dialect."""
    regions = {"us-east": "", "eu-fra": "zero_retention = true", "ap-sg": ""}
    tables = [
        f"""
[providers.{region}]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
region = "{region}"
replica = "{region}-1"
models = ["everywhere"{', "plain"' if region == "us-east" else ""}]
{more}
"""
        for region, more in regions.items()
    ]
    config = f"""
{"".join(tables)}

[providers.other]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
dialect = "anthropic_messages"
zero_retention = true
models = ["other"]

[models."plain".capabilities]
images = false
audio = false
"""
    process = Gateway(session_folder, config)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def calls(spread: Gateway) -> Caller:
    return Caller(spread, model="everywhere")


@pytest.fixture(scope="module")
def bound_to(spread: Gateway) -> Callable[..., Caller]:
    """The caller of a new key with these limits."""
    [organisation] = command_json(spread, "orgs", "create", "bound", "--metered")
    [project] = command_json(spread, "projects", "create", "bound", "--org", organisation["id"])

    def make(*limits: str) -> Caller:
        made = command_json(spread, "keys", "create", "k", "--project", project["id"], *limits)
        return Caller(spread, made["key"], "everywhere")

    return make


@pytest.mark.contract("3.2", "3.3")
@pytest.mark.parametrize("name", ["x-faregate-region-hint", "idc-region-hint"])
@pytest.mark.parametrize("region", ["us-east", "eu-fra", "ap-sg"])
def test_a_hint_is_preferred(calls: Caller, name: str, region: str) -> None:
    for _ in range(3):
        answer = calls.chat(headers={name: region})
        assert (answer.header("x-faregate-region"), answer.header("x-faregate-replica")) == (region, f"{region}-1")


@pytest.mark.contract("3.3", "3.5")
def test_a_hint_is_no_must(calls: Caller) -> None:
    assert calls.chat(headers={"x-faregate-region-hint": "the-moon"}).status == 200
    assert calls.chat(headers={"x-faregate-region-hint": "eu-fra"}, model="plain").status == 200


@pytest.mark.contract("3.3", "9")
def test_a_region_of_the_plan_is_a_must(bound_to: Callable[..., Caller]) -> None:
    caller = bound_to("--region", "eu-fra", "--region", "nowhere")
    assert {caller.chat().header("x-faregate-region") for _ in range(5)} == {"eu-fra"}
    for headers, model in (({"x-faregate-region-hint": "us-east"}, "everywhere"), ({}, "plain")):
        answer = caller.chat(headers=headers, model=model)
        assert (answer.status, answer.error["code"]) == (400, "region_unavailable")


@pytest.mark.contract("3.4")
@pytest.mark.parametrize("name", ["x-faregate-no-retention", "idc-no-retention"])
def test_who_keeps_nothing_serves(calls: Caller, name: str) -> None:
    answers = [calls.chat(headers={name: "true", "x-faregate-region-hint": "us-east"}) for _ in range(5)]
    assert {answer.header("x-faregate-region") for answer in answers} == {"eu-fra"}
    assert calls.chat(headers={name: "false", "x-faregate-region-hint": "us-east"}).status == 200


@pytest.mark.contract("3.4", "9")
@pytest.mark.parametrize(
    ("value", "model", "code"), [("true", "plain", "no_retention_unavailable"), ("perhaps", "everywhere", None)]
)
def test_there_is_no_silent_downgrade(calls: Caller, value: str, model: str, code: str | None) -> None:
    answer = calls.chat(headers={"x-faregate-no-retention": value}, model=model)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (400, "invalid_request_error", code)


@pytest.mark.contract("5.4", "5.7")
@pytest.mark.parametrize("name", ["x-faregate-strict", "x-faregate-structured"])
def test_a_misspelt_wish_is_not_passed_over(calls: Caller, name: str) -> None:
    answer = calls.chat(headers={name: "perhaps"}, model="plain")
    assert (answer.status, answer.error["param"]) == (400, name)
    assert calls.chat(headers={"x-faregate-strict": "FALSE", "x-faregate-structured": "Strict"}).status == 200


@pytest.mark.contract("3.4", "7.6")
@pytest.mark.parametrize(("headers", "status"), [({}, 200), ({"x-faregate-no-retention": "true"}, 404)])
def test_nothing_is_kept_of_it(calls: Caller, headers: dict[str, str], status: int) -> None:
    answer = calls.ask("POST", "/v1/responses", {"model": "everywhere", "input": f"{headers}"}, headers)
    assert answer.status == 200
    assert calls.get(f"/v1/responses/{answer.json()['id']}").status == status
    assert calls.record(answer.header("x-request-id"))["status"] == 200


@pytest.mark.contract("3.4", "7.6")
@pytest.mark.parametrize("keeps", [True, False])
def test_no_thought_is_kept_of_it(calls: Caller, simulator: Simulator, keeps: bool) -> None:
    """What a model signed before it called a tool comes back to it with the call alone, unless nothing may be kept."""
    headers = {} if keeps else {"x-faregate-no-retention": "true"}
    question = {"role": "user", "content": f'Weather? {keeps} #simulator {{"reasoning": true}}'}
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    members = {"model": "other", "tools": [tool], "reasoning_effort": "low", "max_tokens": 4000}
    answer = calls.chat(headers=headers, messages=[question], **members)
    [call] = answer.json()["choices"][0]["message"]["tool_calls"]
    given = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "fine"}
    assert calls.chat(headers=headers, messages=[question, given, result], **members).status == 200
    assistant = simulator.get("/simulator/last_request")["body"]["messages"][1]
    assert ("thinking" in [block["type"] for block in assistant["content"]]) == keeps


@pytest.mark.contract("3.9", "9")
@pytest.mark.parametrize(
    ("part", "code"), [(PICTURE, "vision_not_supported_by_model"), (SOUND, "audio_not_supported_by_model")]
)
def test_a_model_that_neither_sees_nor_hears(calls: Caller, part: dict[str, Any], code: str) -> None:
    content = [{"type": "text", "text": "What is this?"}, part]
    answer = calls.chat(model="plain", messages=[{"role": "user", "content": content}])
    assert (answer.status, answer.error["type"], answer.error["code"]) == (400, "invalid_request_error", code)


@pytest.mark.contract("5.7", "4.7")
@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_dropped_in_silence(calls: Caller, stream: bool) -> None:
    body = {"model": "other", "messages": HELLO, "stream": stream, "seed": 7, "logit_bias": {"1": 2}}
    answer = calls.ask("POST", CHAT, body)
    assert answer.status == 200
    assert set((answer.header("x-faregate-dropped") or "").split(", ")) == {"seed", "logit_bias"}
    answer = calls.ask("POST", CHAT, body, {"x-faregate-strict": "true"})
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert answer.error["param"] in ("seed", "logit_bias")
