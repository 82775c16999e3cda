"""OpenAI's SDK for Azure talks to the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from .conftest import HELLO, Simulated, frames

VERSION = "2024-10-21"
CLASSIC = "/openai/deployments/gpt-4o/chat/completions"
V1 = "/openai/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": HELLO}
KEY = {"api-key": "azure-key"}


@pytest.fixture(scope="module")
def classic(simulated: Simulated) -> Iterator[AzureOpenAI]:
    endpoint = f"http://127.0.0.1:{simulated.port}"
    with AzureOpenAI(azure_endpoint=endpoint, api_key="azure-key", api_version=VERSION, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def v1(simulated: Simulated) -> Iterator[OpenAI]:
    base_url = f"http://127.0.0.1:{simulated.port}/openai/v1/"
    with OpenAI(base_url=base_url, api_key="azure-key", max_retries=0) as client:
        yield client


@pytest.fixture(params=["classic", "v1"])
def azure(request: pytest.FixtureRequest) -> OpenAI:
    return request.getfixturevalue(request.param)


def test_an_answer_and_a_stream_say_the_same(azure: OpenAI) -> None:
    whole = azure.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
    stream = list(azure.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))  # type: ignore[arg-type]
    said = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    assert said == whole.choices[0].message.content
    assert whole.choices[0].content_filter_results["hate"] == {"filtered": False, "severity": "safe"}  # type: ignore[attr-defined]
    assert whole.prompt_filter_results[0]["prompt_index"] == 0  # type: ignore[attr-defined]
    first, *rest = stream
    assert (first.id, first.model, first.choices) == ("", "", [])
    assert first.prompt_filter_results[0]["prompt_index"] == 0  # type: ignore[attr-defined]
    assert {chunk.model for chunk in rest} == {"gpt-4o"}


def test_the_deployment_in_the_path_is_the_model(classic: AzureOpenAI, simulated: Simulated, since: int) -> None:
    answer = classic.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
    assert answer.model == "gpt-4o"
    (entry,) = simulated.truth(since)
    assert entry["path"] == CLASSIC
    answered = simulated.post({"messages": HELLO}, f"{CLASSIC}?api-version={VERSION}", None, KEY)
    assert answered.json()["model"] == "gpt-4o"


def test_the_other_operations(azure: OpenAI) -> None:
    assert azure.completions.create(model="gpt-4o", prompt="hello").choices[0].text
    assert azure.responses.create(model="gpt-4o", input="hello").output_text
    events = list(azure.responses.create(model="gpt-4o", input="hello", stream=True))
    assert events[-1].type == "response.completed"


def test_an_asynchronous_filter_speaks_after_the_finish(simulated: Simulated) -> None:
    path = f"/openai/deployments/gpt-4o-async/chat/completions?api-version={VERSION}"
    events = frames(simulated.post({**BODY, "stream": True}, path, None, KEY).body)
    ended = next(at for at, event in enumerate(events) if event["choices"] and event["choices"][0]["finish_reason"])
    (late,) = events[ended + 1 : -1]
    assert late["id"] == "" and "delta" not in late["choices"][0]
    assert late["choices"][0]["content_filter_offsets"]["check_offset"] == 44


@pytest.mark.parametrize("fields", [KEY, {"authorization": "Bearer entra-token"}])
def test_a_key_or_a_token_will_do(simulated: Simulated, fields: dict[str, str]) -> None:
    assert simulated.post(BODY, V1, None, fields).status == 200


WRONG = [
    (V1, {}, 401, "401"),
    (f"{CLASSIC}?api-version={VERSION}", {}, 401, "401"),
    (CLASSIC, KEY, 404, "404"),
    (f"{CLASSIC}?api-version=preview", KEY, 404, "404"),
    (f"{V1}?api-version={VERSION}", KEY, 404, "404"),
]


@pytest.mark.parametrize(("path", "fields", "status", "code"), WRONG)
def test_what_is_refused(simulated: Simulated, path: str, fields: dict[str, str], status: int, code: str) -> None:
    refused = simulated.post(BODY, path, None, fields)
    assert (refused.status, refused.json()["error"]["code"]) == (status, code)


def test_its_errors_are_the_sdks(classic: AzureOpenAI) -> None:
    plan: dict[str, Any] = {"simulator": {"status": 400, "error_message": "so be it"}}
    with pytest.raises(openai.BadRequestError, match="so be it"):
        classic.chat.completions.create(model="gpt-4o", messages=HELLO, extra_body=plan)  # type: ignore[arg-type]
