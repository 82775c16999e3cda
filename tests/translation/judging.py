"""Puts a case to the gateway and says what is wrong with what both sides saw."""

import base64
import json
from typing import Any

from tests.fixtures.translation_cases_check import absent, camelize, match, subsequence
from tests.running.client import Connection, request_bytes
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import Case
from .folding import folded, misfits
from .invariants import INVARIANTS, STANDING, has_failed
from .playing import Asked, script_of
from .seeing import Seen, seen_of
from .serving import PROVIDER_KEY

_BOUNDARY = "boundary-of-a-case"
# How each client presents its key where a case does not say it.
_CREDENTIALS = {"openai": ("authorization", "Bearer $key"), "openai-responses": ("authorization", "Bearer $key")}
_CREDENTIALS |= {"anthropic": ("x-api-key", "$key"), "gemini": ("x-goog-api-key", "$key")}
_CREDENTIAL_FIELDS = ("authorization", "x-api-key", "x-goog-api-key")
# Where each provider looks for its key.
_PROVIDER_CREDENTIALS = {
    "openai": ("authorization", f"Bearer {PROVIDER_KEY}"),
    "openai-responses": ("authorization", f"Bearer {PROVIDER_KEY}"),
    "anthropic": ("x-api-key", PROVIDER_KEY),
    "cohere": ("authorization", f"Bearer {PROVIDER_KEY}"),
    "gemini": ("x-goog-api-key", PROVIDER_KEY),
    "bedrock": ("authorization", f"Bearer {PROVIDER_KEY}"),
}
STREAM_FIELDS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


def put(case: Case, gateway: Gateway, upstream: Upstream, seed: int = 0) -> tuple[Seen, list[Asked]]:
    """Send a case's request; what the client saw, and what the provider was asked."""
    assert "$file:" not in json.dumps(case.said), "uploads are not in this runner yet"
    visits = upstream.play(script_of(case, seed))
    with Connection(gateway.port) as connection:
        connection.send(_bytes_of(case, gateway.key))
        seen = seen_of(connection.answer())
    return seen, [Asked.of(visit) for visit in visits]


def wrongs_of(case: Case, gateway: Gateway, upstream: Upstream, seed: int = 0) -> list[str]:
    """All that is wrong with a case; empty where it holds."""
    seen, asked = put(case, gateway, upstream, seed)
    binds: dict[str, Any] = {}
    wrongs = _upstream_wrongs(case, asked, gateway.key, binds) + client_wrongs(case, seen, binds)
    if wrongs:
        wrongs.append(
            f"the client saw {seen.answer.status} {bytes(seen.answer.body).decode('utf-8', 'replace')[:3000]}"
        )
        wrongs += [f"the provider was asked {visit.path} {visit.body.decode('utf-8', 'replace')}" for visit in asked]
    return wrongs


def _bytes_of(case: Case, key: str) -> bytes:
    request = case.request
    headers = {name: value.replace("$key", key) for name, value in request.get("headers", {}).items()}
    if not any(name in headers for name in _CREDENTIAL_FIELDS):
        name, value = _CREDENTIALS[case.client]
        headers[name] = value.replace("$key", key)
    if "multipart" in request:
        headers["content-type"] = f"multipart/form-data; boundary={_BOUNDARY}"
        return request_bytes(request["method"], request["path"], _form(case, request["multipart"]), headers)
    body = json.dumps(request["body"]).encode()
    return request_bytes(request["method"], request["path"], body, headers)


def _form(case: Case, parts: list[Any]) -> bytes:
    out = b""
    for name, value in parts:
        if isinstance(value, dict):
            head = f'; filename="{value["filename"]}"\r\ncontent-type: {value["content_type"]}'
            content = base64.b64decode(value["b64"])
        else:
            head, content = "", (case.model if name == "model" else value).encode()
        out += f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{head}\r\n\r\n'.encode()
        out += content + b"\r\n"
    return out + f"--{_BOUNDARY}--\r\n".encode()


def _upstream_wrongs(case: Case, asked: list[Asked], key: str, binds: dict[str, Any]) -> list[str]:
    expected = case.expected("expect_upstream_request_contains")
    calls = case.said.get("expect_upstream_calls", 0 if expected is None else 1)
    wrongs = []
    if len(asked) != calls:
        wrongs.append(f"the provider was asked {len(asked)} times, not {calls}")
    if expected is not None and asked:
        found = asked[0].seen()
        if case.upstream == "gemini" and "body" in found:
            found["body"] = camelize(found["body"])
        contains = {name: value for name, value in expected.items() if name != "absent"}
        wrongs += [f"asked: {wrong}" for wrong in match(contains, found, binds)]
        wrongs += [f"asked: {wrong}" for wrong in absent(expected.get("absent"), found)]
    for request in asked:
        wrongs += _secrets_wrong(case, request, key)
    return wrongs


def _secrets_wrong(case: Case, request: Asked, key: str) -> list[str]:
    """What holds for every request: the provider's own key in its place, the client's nowhere, the model's name there
    and not ours."""
    name, value = _PROVIDER_CREDENTIALS[case.upstream]
    wrongs = [] if request.headers.get(name) == value else [f"the provider's key is not in {name}"]
    told = request.path + repr(sorted(request.headers.items())) + request.body.decode("utf-8", "replace")
    if key in told:
        wrongs.append("the provider was shown the client's key")
    if case.model in told:
        wrongs.append("the provider was told our name of the model")
    if case.upstream_model not in told:
        wrongs.append("the provider was not told its name of the model")
    return wrongs


def client_wrongs(case: Case, seen: Seen, binds: dict[str, Any]) -> list[str]:
    """What is wrong with what the client saw; `binds` are the values that a case's expectations share."""
    wrongs = []
    response = case.expected("expect_client_response_contains")
    if response is not None:
        contains = {name: value for name, value in response.items() if name not in ("absent", "first_byte_before_ms")}
        found = seen.response()
        wrongs += match(contains, found, binds) + absent(response.get("absent"), found)
    if "expect_client_chunks" in case.said:
        wrongs += [] if seen.is_stream else ["the answer is no stream"]
        wrongs += subsequence(case.expected("expect_client_chunks"), seen.chunks)
    if not wrongs and "expect_client_folded" in case.said:
        wrongs += match(case.expected("expect_client_folded"), folded(case.client, seen), binds, "folded")
    for name in case.said.get("invariants", ()):
        wrongs += [f"{name}: {wrong}" for wrong in INVARIANTS[name](seen)]
    return wrongs + standing_wrongs(case, seen)


def standing_wrongs(case: Case, seen: Seen) -> list[str]:
    """What holds for every answer, whether or not a case says so."""
    wrongs = [] if seen.answer.header("x-request-id") else ["there is no x-request-id"]
    if seen.answer.status != 200 or "/count_tokens" in case.said["request"]["path"]:
        return wrongs
    if case.is_translated:
        wrongs += misfits(case.client, seen)
    if not seen.is_stream:
        return wrongs
    wrongs += [
        f"{name} is {seen.answer.header(name)}"
        for name, value in STREAM_FIELDS.items()
        if seen.answer.header(name) != value
    ]
    if case.is_translated:
        always, unless_failed = STANDING[case.client]
        for name in always if has_failed(seen) else always + unless_failed:
            wrongs += [f"{name} (always): {wrong}" for wrong in INVARIANTS[name](seen)]
    return wrongs
