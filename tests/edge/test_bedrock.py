"""Amazon Bedrock behind the gateway: what its stream's ends and errors are to the client, what a call costs, and that
requests are signed."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as gemini_errors

from faregate.core.money import format_amount
from faregate.simulator.bedrock.encoding import message
from tests.running.client import Answer, Caller, eventually
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, Visit, chunk_of

SECRET = "simulator-secret-key"
AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-west-1"}
CONFIG = """
[ledger]
demo_credit = "1000"

[providers.aws]
kind = "bedrock"
base_url = "{simulator}"

[providers.mistaken]
kind = "bedrock"
credentials_env = "MISTAKEN"
base_url = "{simulator}"

[providers.scripted]
kind = "bedrock"
base_url = "{scripted}/through/a/proxy"
key = "scripted-secret-key"
region = "eu-west-3"

[models."claude"]
max_output_tokens = 1000
price = {{ input = "3", cache_read = "0.3", cache_write_5m = "3.75", cache_write_1h = "6", output = "15" }}
capabilities = {{ thinking = "budget", reasoning = true, images = true }}

[models."mistaken"]
price = {{ input = "1", output = "1" }}

[models."scripted"]
price = {{ input = "1", output = "1" }}

[models."tried-twice"]
price = {{ input = "1", output = "1" }}

[[routes]]
model = "claude"
provider = "aws"
upstream_model = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0"

[[routes]]
model = "mistaken"
provider = "mistaken"
upstream_model = "amazon.nova-pro-v1:0"

[[routes]]
model = "scripted"
provider = "scripted"
upstream_model = "amazon.nova-pro-v1:0"

[[routes]]
model = "tried-twice"
provider = "scripted"
upstream_model = "amazon.nova-pro-v1:0"

[[routes]]
model = "tried-twice"
provider = "aws"
upstream_model = "amazon.nova-pro-v1:0"
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def shop(session_folder: Path, simulator: Simulator, upstream: Upstream) -> Iterator[Gateway]:
    config = CONFIG.format(simulator=f"http://127.0.0.1:{simulator.port}", scripted=f"http://127.0.0.1:{upstream.port}")
    wrong = {"MISTAKEN_ACCESS_KEY_ID": "AKIDWRONG", "MISTAKEN_SECRET_ACCESS_KEY": "canary-secret"}
    gateway = Gateway(session_folder, config, AWS | wrong)
    yield gateway
    gateway.stop()
    log = gateway.log.read_text("utf-8")
    assert "canary-secret" not in log
    assert SECRET not in log
    assert '"crash"' not in log


@pytest.fixture
def buyer(shop: Gateway) -> Caller:
    return Caller(shop, model="claude")


def event(name: str, payload: dict[str, Any]) -> bytes:
    kind = "exception" if name.endswith("Exception") else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return message(headers, json.dumps(payload).encode())


START = event("messageStart", {"role": "assistant"})
WORDS = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Grüße"}})
STOP = event("messageStop", {"stopReason": "end_turn"})
USAGE = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
END = event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})


def streaming(raw: bytes, seed: int = 0) -> Callable[[Visit], None]:
    """An upstream that says this, cut at random."""

    def play(visit: Visit) -> None:
        dice = random.Random(seed)
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: aws-1\r\n"
        visit.send(f"{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode())
        rest = raw
        while rest:
            size = dice.choice((1, 5, 40, 500))
            visit.send(chunk_of(rest[:size]))
            rest = rest[size:]
        visit.end()

    return play


def asked(caller: Caller, model: str, **members: Any) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **members}
    return caller.ask("POST", "/v1/chat/completions", body)


# Money


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_what_was_cached_costs_what_it_should(
    buyer: Caller, simulator: Simulator, since: int, stream: bool, ttl: str
) -> None:
    plan = {"cached_tokens": 40, "cache_write_tokens": 30, "output_tokens": 9}
    block = {
        "type": "text",
        "text": "some words " * 40 + f"#simulator {json.dumps(plan)}",
        "cache_control": {"type": "ephemeral", "ttl": ttl},
    }
    body = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": [block]}], "stream": stream}
    answer = buyer.ask("POST", "/v1/messages", body)
    assert answer.status == 200
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=5000")["entries"]
    assert (entry["wire"], entry["cached_tokens"], entry["cache_write_tokens"]) == ("bedrock", 40, 30)
    record = buyer.record(answer.header("x-request-id"))
    usage = record["usage"]
    written = {"5m": (30, 0), "1h": (0, 30)}[ttl]
    assert (usage["cache_read"], usage["cache_write"], usage.get("cache_write_1h", 0)) == (40, *written)
    fresh = entry["prompt_tokens"] - 70
    nano = fresh * 3_000 + 40 * 300 + written[0] * 3_750 + written[1] * 6_000 + 9 * 15_000
    assert record["cost"] == format_amount(nano)
    assert usage["source"] == "provider"


def test_a_stream_without_usage_is_counted(buyer: Caller, upstream: Upstream) -> None:
    upstream.play(streaming(START + WORDS + STOP))
    answer = asked(buyer, "scripted", stream=True)
    assert answer.text == "Grüße"
    usage = buyer.record(answer.header("x-request-id"))["usage"]
    assert usage["source"] == "counted"
    assert usage["completion_tokens"] > 0


# The request


def test_requests_are_signed_and_the_arn_is_one_segment(buyer: Caller, simulator: Simulator) -> None:
    """The simulator checks the signature, and with it the path's encoding."""
    assert asked(buyer, "claude").status == 200
    last = simulator.get("/simulator/last_request")
    assert last["headers"]["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert last["path"].endswith("eu.anthropic.claude-sonnet-4-5-20250929-v1:0/converse")
    assert "user-agent" in last["headers"]


def test_a_bearer_token_behind_another_address(buyer: Caller, upstream: Upstream) -> None:
    visits = upstream.play(streaming(START + WORDS + STOP + END))
    answer = asked(buyer, "scripted", stream=True)
    assert answer.text == "Grüße"
    head = visits[0].head.decode()
    assert head.startswith("POST /through/a/proxy/model/amazon.nova-pro-v1%3A0/converse-stream HTTP/1.1\r\n")
    assert "authorization: Bearer scripted-secret-key" in head
    assert "accept: application/vnd.amazon.eventstream" in head
    record = buyer.record(answer.header("x-request-id"))
    assert (record["target"]["provider"], record["target"]["region"]) == ("scripted", "eu-west-3")
    assert (record["usage"]["prompt_tokens"], record["usage"]["completion_tokens"]) == (7, 3)
    lines = eventually(lambda: [line for line in buyer.gateway.log_lines() if line.get("id") == record["id"]])
    assert lines[0]["upstream_request_id"] == "aws-1"


def test_a_wrong_secret_is_the_operators_to_mend(buyer: Caller) -> None:
    for stream in (False, True):
        answer = asked(buyer, "mistaken", stream=stream)
        assert answer.status == 503
        assert b"signature" not in answer.body.lower()
        assert b"AKID" not in answer.body


def test_what_cannot_be_said_is_named(buyer: Caller) -> None:
    answer = asked(buyer, "claude", seed=7, user="u", temperature=1.5)
    assert answer.status == 200
    assert answer.header("x-faregate-dropped") == "seed, user"
    assert answer.header("x-faregate-adjusted") == "temperature=1.0"
    refused = asked(buyer, "claude", n=2)
    assert (refused.status, refused.error["param"]) == (400, "n")


# What ends badly


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "first",
    [
        event("throttlingException", {"message": "Too many tokens."}),
        START + event("modelStreamErrorException", {"message": "It failed."}),
        START[:-1] + b"\x00",
        START,
        b"<html>",
    ],
    ids=["throttled", "failed", "corrupt", "ended", "nothing of the kind"],
)
def test_a_stream_that_fails_before_its_first_word_is_tried_elsewhere(
    buyer: Caller, upstream: Upstream, simulator: Simulator, first: bytes, seed: int
) -> None:
    upstream.play(streaming(first, seed))
    for _ in range(6):  # which target is first is a matter of chance
        answer = asked(buyer, "tried-twice", stream=True)
        assert answer.status == 200
        assert answer.text
        assert buyer.record(answer.header("x-request-id"))["target"]["provider"] == "aws"


BROKEN = {
    "exception": event("modelStreamErrorException", {"message": "It failed."}),
    "corrupt": WORDS[:-1] + bytes([WORDS[-1] ^ 1]),
    "corrupt prelude": bytes([WORDS[0] ^ 1]) + WORDS[1:],
    "cut": WORDS[:20],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_is_an_error_to_every_sdk(shop: Gateway, upstream: Upstream, name: str) -> None:
    upstream.play(streaming(START + WORDS + BROKEN[name]))
    origin = shop.base_url.removesuffix("/v1")
    chat = openai.OpenAI(base_url=shop.base_url, api_key=shop.key, max_retries=0)
    with chat, pytest.raises(openai.APIError):
        list(chat.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "a"}], stream=True))
    claude = anthropic.Anthropic(base_url=origin, api_key=shop.key, max_retries=0)
    said: Any = {"model": "scripted", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
    with claude, pytest.raises(anthropic.APIError), claude.messages.stream(**said) as stream:
        stream.get_final_message()
    gemini = genai.Client(api_key=shop.key, http_options={"base_url": origin})
    with pytest.raises(gemini_errors.APIError):
        list(gemini.models.generate_content_stream(model="scripted", contents="a"))
    gemini.close()


@pytest.mark.parametrize(
    ("status", "kind", "words", "seen"),
    [
        (400, "ValidationException", "The provided model identifier is invalid.", 400),
        (400, "ValidationException", "Input is too long for requested model.", 400),
        (403, "UnrecognizedClientException", "The security token included in the request is invalid.", 503),
        (404, "ResourceNotFoundException", "Could not resolve the foundation model.", 503),
        (424, "ModelErrorException", "The model could not process it.", 503),
        (429, "ThrottlingException", "Too many requests.", 503),
        (500, "InternalServerException", "It broke.", 503),
    ],
)
def test_errors(buyer: Caller, upstream: Upstream, status: int, kind: str, words: str, seen: int) -> None:
    body = json.dumps({"message": words}).encode()
    lines = f"x-amzn-errortype: {kind}:http://internal.amazon.com/coral/\r\n".encode()
    upstream.play(lambda visit: visit.whole(status, body, "application/json", lines))
    answer = asked(buyer, "scripted")
    assert answer.status == seen
    assert (words in answer.error["message"]) == (seen == 400)
    assert (answer.error["code"] == "context_length_exceeded") == ("too long" in words)


NO_ANSWERS = [b"", b"{}", b"null", b"[]", b"\xff", b'{"output":{}}', b'{"output":{"message":{"content":[3]}}}']


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_a_whole_answer_that_is_none(buyer: Caller, upstream: Upstream, body: bytes) -> None:
    upstream.play(lambda visit: visit.whole(200, body, "application/json"))
    assert asked(buyer, "scripted").status == 503
