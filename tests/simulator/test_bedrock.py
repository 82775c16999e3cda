"""AWS's own SDK talks to the simulator."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError

from .conftest import Simulated

BUDGETED = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ADAPTIVE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-8"
OTHER = "amazon.nova-pro-v1:0"
SECRET = "simulator-secret-key"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"toolSpec": {"name": name, "description": name, "inputSchema": {"json": SCHEMA}}} for name in ("weather", "clock")
]
HELLO = [{"role": "user", "content": [{"text": "hello"}]}]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def client_of(simulated: Simulated, secret: str = SECRET, **members: Any) -> Any:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=5)
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=f"http://127.0.0.1:{simulated.port}",
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=secret,
        config=config,
        **members,
    )


@pytest.fixture(scope="module")
def bedrock(simulated: Simulated) -> Iterator[Any]:
    client = client_of(simulated, aws_session_token="t0k3n")
    yield client
    client.close()


def planned(plan: dict[str, Any], words: str = "hello") -> list[Any]:
    return [{"role": "user", "content": [{"text": f"{words} #simulator {json.dumps(plan)}"}]}]


def folded(answer: Any) -> dict[str, Any]:
    """A stream as the whole answer that it is."""
    blocks: dict[int, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    for event in answer["stream"]:
        ((name, said),) = event.items()
        if name == "contentBlockStart":
            blocks[said["contentBlockIndex"]] = {"toolUse": {**said["start"]["toolUse"], "input": ""}}
        elif name == "contentBlockDelta":
            add(blocks.setdefault(said["contentBlockIndex"], {}), said["delta"])
        elif name in ("messageStop", "metadata"):
            found |= said
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {**found, "output": {"message": {"role": "assistant", "content": [blocks[at] for at in sorted(blocks)]}}}


def add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "redactedContent" in delta["reasoningContent"]:
        block["reasoningContent"] = delta["reasoningContent"]
    else:
        thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        thought["text"] += delta["reasoningContent"].get("text", "")
        thought |= {name: value for name, value in delta["reasoningContent"].items() if name == "signature"}


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer.get(name) for name in ("output", "stopReason", "usage", "additionalModelResponseFields")}


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"modelId": OTHER},
        {"toolConfig": {"tools": TOOLS}},
        {"toolConfig": {"tools": TOOLS[:1], "toolChoice": {"any": {}}}},
        {"toolConfig": {"tools": TOOLS, "toolChoice": {"tool": {"name": "clock"}}}},
        {"additionalModelRequestFields": THINKING},
        {"additionalModelRequestFields": THINKING, "toolConfig": {"tools": TOOLS}},
        {
            "modelId": ADAPTIVE,
            "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
            "outputConfig": {"effort": "low"},
        },
        {"inferenceConfig": {"maxTokens": 3}},
        {"inferenceConfig": {"stopSequences": ["a"]}, "additionalModelResponseFieldPaths": ["/stop_sequence"]},
        {"system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]},
        {"messages": planned({"redacted": True})},
        {"messages": planned({"cached_tokens": 2, "cache_write_tokens": 3})},
        {"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": PNG}}}]}]},
    ],
)
def test_a_stream_says_what_a_whole_answer_does(bedrock: Any, members: dict[str, Any]) -> None:
    asked = {"modelId": BUDGETED, "messages": HELLO, **members}
    whole = bedrock.converse(**asked)
    assert essence(folded(bedrock.converse_stream(**asked))) == essence(whole)
    assert whole["output"]["message"]["content"]
    used = whole["usage"]
    assert used["totalTokens"] == sum(value for name, value in used.items() if name.endswith("putTokens"))


def test_tools_are_called_and_answered(bedrock: Any) -> None:
    """In parallel, and their results go back in one message."""
    config = {"tools": TOOLS}
    first = bedrock.converse(modelId=BUDGETED, messages=HELLO, toolConfig=config)
    said = first["output"]["message"]
    calls = [block["toolUse"] for block in said["content"]]
    assert [call["name"] for call in calls] == ["weather", "clock"]
    assert first["stopReason"] == "tool_use"
    contents = ([{"text": "warm"}], [{"json": {"at": 12}}, {"image": {"format": "png", "source": {"bytes": PNG}}}])
    results = [
        {"toolResult": {"toolUseId": call["toolUseId"], "content": content}}
        for call, content in zip(calls, contents, strict=True)
    ]
    history = [*HELLO, said, {"role": "user", "content": results}]
    last = bedrock.converse(modelId=BUDGETED, messages=history, toolConfig=config)
    assert last["stopReason"] == "end_turn"
    assert last["output"]["message"]["content"][0]["text"].startswith("I see 1 image.")
    with pytest.raises(ClientError, match="toolConfig field must be defined"):
        bedrock.converse(modelId=BUDGETED, messages=history)
    results.pop()
    with pytest.raises(ClientError, match="Expected toolResult blocks"):
        bedrock.converse(modelId=BUDGETED, messages=history, toolConfig=config)


def test_one_call_at_a_time(bedrock: Any) -> None:
    fields = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    answer = bedrock.converse(
        modelId=BUDGETED, messages=HELLO, toolConfig={"tools": TOOLS}, additionalModelRequestFields=fields
    )
    assert len(answer["output"]["message"]["content"]) == 1


def test_thoughts_come_back_as_they_were(bedrock: Any) -> None:
    asked = {"modelId": BUDGETED, "additionalModelRequestFields": THINKING}
    said = bedrock.converse(messages=HELLO, **asked)["output"]["message"]
    assert said["content"][0]["reasoningContent"]["reasoningText"]["signature"]
    history = [*HELLO, said, *HELLO]
    assert bedrock.converse(messages=history, **asked)["output"]["message"]["content"]
    said["content"][0]["reasoningContent"]["reasoningText"]["text"] += "!"
    with pytest.raises(ClientError, match="signature"):
        bedrock.converse(messages=history, **asked)


def test_an_answer_of_a_schema(bedrock: Any) -> None:
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "place"}}
    answer = bedrock.converse(
        modelId=BUDGETED,
        messages=HELLO,
        outputConfig={"textFormat": {"type": "json_schema", "structure": structure}},
    )
    assert list(json.loads(answer["output"]["message"]["content"][0]["text"])) == ["city"]


def document(name: str) -> dict[str, Any]:
    return {"document": {"format": "txt", "name": name, "source": {"bytes": b"a"}}}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "start with a user message"),
    ({"messages": [{"role": "assistant", "content": [{"text": "a"}]}]}, "start with a user message"),
    ({"messages": HELLO * 2}, "alternate"),
    ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "is blank"),
    ({"messages": [{"role": "user", "content": [document("a"), document("a"), {"text": "?"}]}]}, "duplicate"),
    ({"messages": [{"role": "user", "content": [document("a.txt"), {"text": "?"}]}]}, "file name"),
    ({"messages": [{"role": "user", "content": [document("a")]}]}, "text"),
    ({"additionalModelRequestFields": {"presence_penalty": 1}}, "Extra inputs"),
    ({"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 9}}}, "1024"),
    (
        {"additionalModelRequestFields": THINKING, "toolConfig": {"tools": TOOLS, "toolChoice": {"any": {}}}},
        "forces tool use",
    ),
    ({"additionalModelRequestFields": THINKING, "inferenceConfig": {"temperature": 0.5}}, "temperature"),
    (
        {
            "toolConfig": {"tools": TOOLS, "toolChoice": {"auto": {}}},
            "additionalModelRequestFields": {"tool_choice": {"type": "auto"}},
        },
        "conflicts",
    ),
    ({"modelId": ADAPTIVE, "inferenceConfig": {"temperature": 0.5}}, "temperature"),
]


@pytest.mark.parametrize(("members", "words"), WRONG)
def test_what_it_refuses(bedrock: Any, members: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words) as refused:
        bedrock.converse(**{"modelId": BUDGETED, "messages": HELLO, **members})
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_wrong_signature(simulated: Simulated) -> None:
    client = client_of(simulated, secret="another")
    with pytest.raises(ClientError) as refused:
        client.converse(modelId=BUDGETED, messages=HELLO)
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    client.close()


def test_no_credential(simulated: Simulated) -> None:
    refused = simulated.post({"messages": HELLO}, "/model/m/converse", key=None)
    assert (refused.status, refused.field("x-amzn-errortype")) == (403, "MissingAuthenticationTokenException")


CODES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


@pytest.mark.parametrize("status", CODES)
def test_planned_errors(bedrock: Any, status: int) -> None:
    for ask in (bedrock.converse, bedrock.converse_stream):
        with pytest.raises(ClientError, match="so be it") as failed:
            ask(modelId=BUDGETED, messages=planned({"status": status, "error_message": "so be it"}))
        assert failed.value.response["Error"]["Code"] == CODES[status]


@pytest.mark.parametrize(
    ("plan", "failure"),
    [
        ({"malformed": "error_event"}, EventStreamError),
        ({"malformed": "bad_checksum"}, ChecksumMismatch),
        ({"cut_after_bytes": 900}, ProtocolError),
    ],
)
def test_faults_of_a_stream(bedrock: Any, plan: dict[str, Any], failure: type[Exception]) -> None:
    with pytest.raises(failure):
        folded(bedrock.converse_stream(modelId=BUDGETED, messages=planned({"output_tokens": 50, **plan})))


def test_a_bearer_token(simulated: Simulated) -> None:
    """Raw: the SDK sends none over plain HTTP."""
    body = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
    assert simulated.post(body, f"/model/{OTHER}/converse").status == 200
