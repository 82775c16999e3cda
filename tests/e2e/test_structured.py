"""Structured output: `.parse()` and the streaming helper, with a class in Python and a schema in Node."""

import json

import pytest

from .processes import Upstream
from .scenarios import MODEL, REPLIES, Sdk, asks

INVOICE = json.loads(REPLIES["invoice"]["content"])


@pytest.mark.contract("1.1")
def test_parsed(sdk: Sdk, upstream: Upstream) -> None:
    report = sdk.do("parse", upstream.client, asks("invoice"), wants_invoice=True)
    assert report["parsed_class"] == "Invoice"
    assert report["answer"]["choices"][0]["message"]["parsed"] == INVOICE
    sent = upstream.last_body()["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["schema"]["required"] == ["number", "lines", "paid"]


def test_parsed_from_a_stream(any_client: Sdk, upstream: Upstream) -> None:
    report = any_client.do("accumulate", upstream.client, asks("invoice"), wants_invoice=True)
    message = report["answer"]["choices"][0]["message"]
    assert message["parsed"] == INVOICE
    assert json.loads(message["content"]) == INVOICE


def test_made_to_the_schema(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = {"model": MODEL, "messages": [{"role": "user", "content": "An invoice, any."}]}
    whole = sdk.do("parse", simulated_upstream.client, params, wants_invoice=True)["answer"]
    streamed = sdk.do("accumulate", simulated_upstream.client, params, wants_invoice=True)["answer"]
    parsed = whole["choices"][0]["message"]["parsed"]
    assert set(parsed) == {"number", "lines", "paid"}
    assert streamed["choices"][0]["message"]["parsed"] == parsed


@pytest.mark.contract("1.1")
def test_json_mode(sdk: Sdk, simulated_upstream: Upstream) -> None:
    messages = [{"role": "user", "content": "Anything, as JSON."}]
    params = {"model": MODEL, "messages": messages, "response_format": {"type": "json_object"}}
    answer = sdk.do("create", simulated_upstream.client, params)["answer"]
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), dict)


def test_cut_short(sdk: Sdk, simulated_upstream: Upstream) -> None:
    error = sdk.fail("parse", simulated_upstream.client, asks("invoice", max_tokens=5), wants_invoice=True)
    assert error["class"] == "LengthFinishReasonError"
