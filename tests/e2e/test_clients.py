"""How clients are set up, and what they can learn of a call: addresses, environment, headers, ids, models, records."""

import re
import uuid
from typing import Any

import pytest

from .processes import Upstream
from .scenarios import MODEL, REPLIES, Sdk, asks, text_of

PLAIN = REPLIES["plain"]["content"]


def said(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"]


def test_these_are_the_majors(sdk: Sdk) -> None:
    majors = {"python-newest": "3", "python-previous": "2", "node-newest": "7", "node-previous": "6"}
    assert sdk.process.ready["version"].partition(".")[0] == majors[sdk.name]


@pytest.mark.contract("1.14", "5.8")
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/v1", "/api/v1", "/api/v1/v1"])
def test_base_urls(any_client: Sdk, exact: Upstream, path: str) -> None:
    base_url = exact.gateway.base_url.removesuffix("/v1") + path
    client = {**exact.client, "base_url": base_url}
    assert said(any_client.do("create", client, asks("plain"))["answer"]) == PLAIN
    assert text_of(any_client.do("collect", client, asks("plain"))["chunks"]) == PLAIN
    if not any_client.is_async:
        assert any_client.do("list_models", client, {})["models"]
        assert any_client.do("retrieve_model", client, {}, id="openai/gpt-4o")["model"]["id"] == "openai/gpt-4o"


@pytest.mark.contract("5.8")
def test_the_environment_suffices(any_client: Sdk, upstream: Upstream) -> None:
    environment = {"OPENAI_BASE_URL": upstream.gateway.base_url, "OPENAI_API_KEY": upstream.gateway.key}
    assert said(any_client.do("create", {}, asks("plain"), environment=environment)["answer"]) == PLAIN
    assert text_of(any_client.do("collect", {}, asks("plain"), environment=environment)["chunks"]) == PLAIN


def test_request_ids(any_client: Sdk, upstream: Upstream) -> None:
    ids = [
        any_client.do(operation, upstream.client, asks("plain"))["request_id"] for operation in ("create", "collect")
    ]
    ids.append(any_client.fail("create", upstream.client, asks("refused"))["request_id"])
    ids.append(any_client.fail("create", upstream.client, asks("plain", temperature=7))["request_id"])
    assert [uuid.UUID(each).version for each in ids] == [7] * 4
    assert len(set(ids)) == 4


@pytest.mark.contract("4.2", "4.3")
def test_headers(sdk: Sdk, upstream: Upstream) -> None:
    report = sdk.do("raw", upstream.client, asks("plain"))
    headers = report["headers"]
    assert headers["x-request-id"] == report["request_id"]
    assert headers["content-type"].startswith("application/json")
    assert headers["x-faregate-region"] == "default"
    assert headers["x-faregate-replica"] == "default"
    assert headers["x-faregate-failover"] == "false"
    assert headers["x-fallback-depth"] == "0"
    assert headers["x-model-used"] == MODEL
    assert re.fullmatch(r"\d+", headers["x-faregate-latency-ms"])
    foreign = {"openai-organization", "access-control-allow-origin", "server", "x-powered-by"}
    assert not foreign & headers.keys()
    assert [each["retry_count"] for each in report["tries"]] == ["0"]


@pytest.mark.parametrize("operation", ["create", "collect"])
def test_the_record_of_a_request(sdk: Sdk, simulated_upstream: Upstream, operation: str) -> None:
    report = sdk.do(operation, simulated_upstream.client, asks("plain"))
    path = f"/requests/{report['request_id']}"
    record = sdk.do("get", simulated_upstream.client, {}, path=path)["answer"]
    assert record["id"] == report["request_id"]
    assert record["status"] == 200
    assert record["model"] == MODEL
    assert record["stream"] is (operation == "collect")
    usage = sdk.do("create", simulated_upstream.client, asks("plain"))["answer"]["usage"]
    assert record["usage"]["prompt_tokens"] == usage["prompt_tokens"]
    assert record["usage"]["completion_tokens"] == usage["completion_tokens"]


def test_the_record_of_anothers_request(sdk: Sdk, exact: Upstream) -> None:
    error = sdk.fail("get", exact.client, {}, path="/requests/0199d0a0-0000-7000-8000-000000000000")
    assert (error["class"], error["code"]) == ("NotFoundError", "not_found")


def test_models_are_listed(sdk: Sdk, exact: Upstream) -> None:
    models = {model["id"]: model for model in sdk.do("list_models", exact.client, {})["models"]}
    assert {"gpt-4o", "gpt-4o-mini"} <= models.keys()
    assert models[MODEL]["object"] == "model"
    assert models[MODEL]["owned_by"] == "openai"
    assert isinstance(models[MODEL]["created"], int)
    assert models[MODEL]["context_window"] == 128_000


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "test-model"])
def test_a_model_is_retrieved(sdk: Sdk, exact: Upstream, name: str) -> None:
    model = sdk.do("retrieve_model", exact.client, {}, id=name)["model"]
    assert model["id"] == name
    assert model["object"] == "model"


@pytest.mark.parametrize("name", ["gpt-nothing", "acme/gpt-4o"])
def test_a_model_that_is_not(sdk: Sdk, exact: Upstream, name: str) -> None:
    error = sdk.fail("retrieve_model", exact.client, {}, id=name)
    assert (error["class"], error["code"]) == ("NotFoundError", "model_not_found")


@pytest.mark.contract("3.1")
@pytest.mark.parametrize("name", ["openai/gpt-4o", "gpt-4o-2024-08-06"])
def test_other_names_of_a_model(sdk: Sdk, upstream: Upstream, name: str) -> None:
    params = asks("plain", model=name)
    assert sdk.do("create", upstream.client, params)["answer"]["model"] == name
    assert {chunk["model"] for chunk in sdk.do("collect", upstream.client, params)["chunks"]} == {name}
    assert upstream.last_body()["model"] == MODEL
