"""The wants judged by themselves: within a dialect, what a provider says is what the client is to see, and what the
client asks is what the provider is to be asked. It takes no gateway, and what fails here is wrong in its file."""

import json
from typing import Any

import pytest

from tests.fixtures.translation_cases_check import absent, camelize, match
from tests.running.client import Answer

from .cases import Case
from .judging import STREAM_FIELDS, client_wrongs
from .matrix import matrix_cases
from .seeing import seen_of

CASES = [case for case in matrix_cases() if not case.is_translated and case.wire == "compatible"]
# What the gateway says in the provider's place
_FAILURES = ("error_", "stream_cut", "stream_short", "stream_error", "stream_garbage")


def answer_of(case: Case) -> Answer:
    """The provider's answer as the client would see it with nothing between them but the model's name."""
    fields = {"x-request-id": "1"}
    if "upstream_stream" in case.said:
        body = "".join(_written(item) for item in case.said["upstream_stream"])
        fields |= STREAM_FIELDS
    else:
        body = json.dumps(case.said["upstream_response"]["body"])
        fields["content-type"] = "application/json"
    return Answer(200, list(fields.items()), body.replace(case.upstream_model, case.model).encode())


def _written(item: dict[str, Any]) -> str:
    data = item["data"] if isinstance(item["data"], str) else json.dumps(item["data"])
    return (f"event: {item['event']}\n" if "event" in item else "") + f"data: {data}\n\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer(case: Case) -> None:
    if not case.name.startswith(_FAILURES):
        assert client_wrongs(case, seen_of(answer_of(case)), {}) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_request(case: Case) -> None:
    expected = case.expected("expect_upstream_request_contains")
    body = json.loads(json.dumps(case.request["body"]).replace(case.model, case.upstream_model))
    body.get("stream_options", {}).pop("include_usage", None)
    expected["body"].pop("stream_options", None)
    found = {"body": camelize(body) if case.upstream == "gemini" else body}
    assert match(expected["body"], found["body"], {}) == []
    assert absent(expected.get("absent"), found) == []
