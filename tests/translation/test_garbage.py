"""A provider that answers 200 with what is no answer: 503 in the client's dialect, a failed attempt in the record, and
nothing to pay. Whole and streamed, also where client and provider speak the same dialect."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from faregate.simulator.bedrock.encoding import message
from tests.running.client import Connection, request_bytes
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import DIALECTS, UPSTREAMS, Case
from .judging import put
from .matrix import matrix_cases
from .test_wrong_values import ERRORS

PAIRS = [(client, upstream, "compatible") for client in DIALECTS for upstream in UPSTREAMS]
PAIRS += [(client, client, "exact") for client in DIALECTS]

# What nobody's answer is.
_NOWHERE: tuple[bytes, ...] = (
    *(b"", b"null", b"[]", b"{}", b'"x"', b"5", b"<html>no</html>", b"\xff\xfe", b"{" * 5000, b"[" * 100_000),
    *(b'{"error":{"message":"no"}}', b'{"choices":', b'{"choices":[]}', b'{"content":7}', b'{"candidates":[]}'),
    *(b'{"output":null}', b'{"message":null}', b'{"type":"error","error":{"message":"no"}}'),
)
# What says nothing, and not why; or calls a tool of no name; or has not ended: by who says it.
_WHOLE: dict[str, tuple[bytes, ...]] = {
    "openai": (b'{"choices":[{}]}', b'{"choices":[null]}'),
    "openai-responses": (
        b'{"output":[null]}',
        b'{"output":[],"status":"in_progress"}',
        b'{"output":[],"status":"failed","error":{"message":"no"}}',
    ),
    "anthropic": (b'{"type":"error","content":[]}',),
    "gemini": (b'{"candidates":[null]}', b'{"candidates":[],"promptFeedback":{}}'),
    "cohere": (
        b'{"message":{}}',
        b'{"message":{"content":[]}}',
        b'{"message":{"content":"x"}}',
        b'{"message":{"tool_calls":[{}]}}',
        b'{"message":{"content":[]},"finish_reason":"ERROR"}',
    ),
    "bedrock": (
        b'{"output":{"message":{"content":[]}}}',
        b'{"output":{"message":{"content":[null]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"input":{}}}]}}}',
        b'{"output":{"message":{"content":[{"text":7}]}}}',
    ),
}
# The same, where the answer is not forwarded as it came.
_PARSED: dict[str, tuple[bytes, ...]] = {
    "openai": (b'{"choices":[{"message":null}]}',),
    "anthropic": (
        b'{"type":"message","content":[]}',
        b'{"type":"message","content":[{"type":"text","text":5}]}',
        b'{"type":"message","content":[{"type":"tool_use"}]}',
    ),
    "gemini": (b'{"candidates":[{"content":{"parts":[null]}}]}', b'{"candidates":[{}]}'),
}
_EVENTS = (
    *(b"null", b"[]", b'"x"', b"5", b"{}", b"{bad", b"\xff", b"[" * 20_000, b"[DONE]", b'{"error":"no"}'),
    *(b'{"type":"message_stop"}', b'{"type":"message-end","delta":{}}', b'{"choices":null}', b'{"candidates":[7]}'),
    *(b'{"type":"response.completed","response":null}', b'{"type":"error"}'),
)
_STREAMS = (
    *(b"", b"\n\n", b"garbage", b"<html>no</html>", b"\xff\xfe"),
    *(b"data: %b\n\n" % event for event in _EVENTS),
)


def _told(name: str, payload: bytes, kind: str = "event") -> bytes:
    return message({f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}, payload)


_BEGUN = _told("messageStart", b'{"role":"assistant"}')
_MESSAGES = (
    *(b"", bytes(11), bytes(16), bytes(1000), b"\xff" * 64, b"data: {}\n\n", _BEGUN, _BEGUN[:10], _BEGUN[:-1]),
    *(_BEGUN[:-4] + bytes(4), b"\xff\xff\xff\xff" + bytes(100), bytes((0, 0, 0, 16, 0, 0, 255, 255)) + bytes(100)),
    *(_told("messageStart", payload) for payload in (b"null", b"[]", b"{bad", b"\xff")),
    _BEGUN + _told("contentBlockDelta", b'{"delta":{"text":5}}'),
    _BEGUN + _told("contentBlockStart", b'{"contentBlockIndex":0,"start":{"toolUse":{}}}'),
    _BEGUN + _told("messageStop", b'{"stopReason":5}'),
    _told("metadata", b'{"usage":7}'),
    _told("internalServerException", b"\xff", "exception"),
    message({":message-type": "error", ":error-code": "c", ":error-message": "m"}, b""),
    message({}, b"{}"),
)


def asked(client: str, upstream: str, wire: str, *, streamed: bool) -> Case:
    """A plain request of that client."""
    name = f"{'stream' if streamed else 'plain'}-{client}-to-{upstream}"
    return next(case for case in matrix_cases() if (case.said["name"], case.wire) == (name, wire))


def failures(case: Case, given: bytes, gateway: Gateway, player: Upstream) -> list[str]:
    """What is wrong with what the client is told of an answer of such bytes."""
    kind = {} if case.said.get("upstream_stream") else {"upstream_headers": {"content-type": "application/json"}}
    parts = [base64.b64encode(given).decode()] if given else []
    said = {**case.said, **kind, "upstream_stream": [{"raw_b64_parts": parts}]}
    seen, visits = put(replace(case, said=said), gateway, player)
    if seen.answer.status != 503:
        return [f"the status is {seen.answer.status}"]
    record = recorded(gateway, str(seen.answer.header("x-request-id")))
    told = (record["status"], record["attempts"], record["cost"])
    wrongs = [] if ERRORS[case.client](seen.answer.json()) else ["the error is none of the client's dialect"]
    return wrongs if told == (503, len(visits), "0") and visits else [*wrongs, f"the record says {told}"]


def recorded(gateway: Gateway, request_id: str) -> Any:
    """The record of a request."""
    with Connection(gateway.port) as connection:
        connection.send(request_bytes("GET", f"/v1/requests/{request_id}", key=gateway.key))
        return connection.answer().json()


@pytest.mark.parametrize(("client", "upstream", "wire"), PAIRS)
def test_a_whole_answer(client: str, upstream: str, wire: str, crossing: Gateway, player: Upstream) -> None:
    case = asked(client, upstream, wire, streamed=False)
    is_parsed = client != upstream or wire == "compatible"
    forwarded = client == upstream and client in ("anthropic", "gemini")  # as they came, by either wire
    bodies = (*_NOWHERE, *_WHOLE[upstream], *(_PARSED.get(upstream, ()) if is_parsed and not forwarded else ()))
    wrongs = {body[:90]: found for body in bodies if (found := failures(case, body, crossing, player))}
    assert not wrongs


@pytest.mark.parametrize(("client", "upstream", "wire"), PAIRS)
def test_a_stream(client: str, upstream: str, wire: str, crossing: Gateway, player: Upstream) -> None:
    case = asked(client, upstream, wire, streamed=True)
    bodies = _MESSAGES if upstream == "bedrock" else _STREAMS
    wrongs = {body[:90]: found for body in bodies if (found := failures(case, body, crossing, player))}
    assert not wrongs
