"""Tokens: asked for before the first call, renewed beside the calls, never told to anybody."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import Caller, eventually
from tests.running.processes import Gateway
from tests.running.upstreams import DONE, FINISH, ROLE, Upstream, Visit, refused_port, said

from .authority import CLIENT_SECRET, KEY_TEXT, REFRESH_TOKEN, Authority, authorized_user, claims_of, service_account
from .conftest import entra

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
SECRETS = (CLIENT_SECRET, REFRESH_TOKEN, KEY_TEXT.splitlines()[1], "token-")


class Azure:
    """An upstream that takes one token, and a gateway before it."""

    def __init__(self, folder: Path, authority: Authority, *, keys: str | None = None) -> None:
        self.taken: str | None = None
        self.tokens: list[str] = []
        self.upstream = Upstream(self._answer)
        settings = f"""
[log]
level = "debug"

[providers.azure]
base_url = "http://127.0.0.1:{self.upstream.port}"
models = ["m"]
{entra(authority) if keys is None else keys}
"""
        self.gateway = Gateway(folder, settings)
        self.caller = Caller(self.gateway, model="m")

    def _answer(self, visit: Visit) -> None:
        token = visit.head.split(b"authorization: Bearer ")[1].split(b"\r\n")[0].decode()
        self.tokens.append(token)
        if self.taken not in (None, token):
            words = {"error": {"code": "401", "message": f"The token {token} has expired."}}
            visit.whole(401, json.dumps(words).encode())
        elif visit.json().get("stream"):
            visit.stream(ROLE, said("hello"), FINISH, DONE)
            visit.end()
        else:
            visit.whole(200, json.dumps(ANSWER).encode())

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.gateway.log_lines() if line.get("event") == name]

    def close(self) -> None:
        self.gateway.stop()
        self.upstream.close()
        text = self.gateway.log.read_text()
        assert not [secret for secret in SECRETS if secret in text]
        assert not self.events("background_crash")


@pytest.fixture
def azure_before(session_folder: Path) -> Iterator[Callable[..., Azure]]:
    made: list[Azure] = []

    def make(authority: Authority, **options: Any) -> Azure:
        made.append(Azure(session_folder, authority, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_first_call_has_a_token_and_all_calls_share_it(azure_before: Callable[..., Azure]) -> None:
    with Authority() as authority:
        azure = azure_before(authority)
        for _ in range(3):
            assert azure.caller.chat().status == 200
        assert azure.caller.streamed().text == "hello"
        assert azure.tokens == ["token-1"] * 4
        assert authority.asked == [
            {
                "grant_type": "client_credentials",
                "client_id": "client",
                "client_secret": CLIENT_SECRET,
                "scope": "https://cognitiveservices.azure.com/.default",
            }
        ]


def test_a_token_is_renewed_before_it_ends_and_no_head_keeps_the_old_one(azure_before: Callable[..., Azure]) -> None:
    with Authority(life_s="1") as authority:  # in quotes, as some write it
        azure = azure_before(authority)

        def calls() -> bool:
            azure.caller.chat()
            return len(set(azure.tokens)) >= 3

        eventually(calls)
        numbers = [int(token.removeprefix("token-")) for token in azure.tokens]
        assert numbers == sorted(numbers)
        assert authority.most_at_once == 1


def denied(visit: Visit) -> None:
    visit.whole(401, b'{"error":"invalid_client","error_description":"entra-client-secret is wrong"}')


def test_an_old_token_serves_while_it_holds_whatever_comes_of_its_renewal(azure_before: Callable[..., Azure]) -> None:
    with Authority() as authority:
        azure = azure_before(authority)
        authority.script = denied
        azure.taken = "another"  # which has the token renewed
        assert azure.caller.chat().status == 503
        failed = eventually(lambda: azure.events("token_refresh_failed"))[0]
        assert (failed["level"], failed["provider"], failed["holds"]) == ("warning", "azure", True)
        assert failed["reason"] == "status 401: invalid_client"
        azure.taken = None
        assert azure.caller.chat().status == 200
        assert set(azure.tokens) == {"token-1"}


def test_a_token_that_has_ended_is_not_sent(azure_before: Callable[..., Azure]) -> None:
    with Authority(life_s=1) as authority:
        azure = azure_before(authority)
        authority.script = denied
        eventually(lambda: [line for line in azure.events("token_refresh_failed") if not line["holds"]])
        sent = len(azure.tokens)
        refused = azure.caller.chat()
        assert (refused.status, refused.error["code"]) == (503, "upstream_unavailable")
        assert refused.header("retry-after") is not None
        assert azure.caller.streamed().status == 503
        assert len(azure.tokens) == sent
        authority.script = None
        eventually(lambda: azure.caller.chat().status == 200)
        assert azure.events("token_refreshed")[-1]["level"] in ("info", "debug")


def slow(visit: Visit) -> None:
    visit.until_gone()


GARBAGE: dict[str, Callable[[Visit], None]] = {
    "no JSON": lambda visit: visit.whole(200, b"<html>"),
    "no token": lambda visit: visit.whole(200, b'{"expires_in":3600}'),
    "a null": lambda visit: visit.whole(200, b'{"access_token":null}'),
    "two lines": lambda visit: visit.whole(200, b'{"access_token":"a\\r\\nx-evil: 1"}'),
    "no life": lambda visit: visit.whole(200, b'{"access_token":"a","expires_in":0}'),
    "no number": lambda visit: visit.whole(200, b'{"access_token":"a","expires_in":"soon"}'),
    "a redirect": lambda visit: visit.whole(302, b"", fields=b"location: http://127.0.0.1:1/\r\n"),
    "an odd code": lambda visit: visit.whole(400, b'{"error":"entra-client-secret token-"}'),
    "half an answer": lambda visit: visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
    "nothing": lambda visit: visit.reset(),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_no_token(session_folder: Path, name: str) -> None:
    """In one process with its loop: what a real gateway makes of it is the same, and takes longer to start."""
    import asyncio

    from faregate.providers import origin_of
    from faregate.providers.tokens import Tokens, form_question
    from faregate.wire.client import Client
    from faregate.wire.deadlines import Deadlines

    with Authority() as authority:
        authority.script = GARBAGE[name]
        origin, path = origin_of(authority.url)
        said: list[dict[str, Any]] = []

        async def ask() -> bool:
            deadlines = Deadlines(asyncio.get_running_loop())
            client = Client(deadlines)
            tokens = Tokens(lambda: form_question(origin, path, {"client_secret": CLIENT_SECRET}))
            keep = tokens.keep("p", client, deadlines, lambda *words, **more: said.append(more), said.append)  # type: ignore[arg-type]
            task = asyncio.create_task(keep)
            await asyncio.wait_for(tokens.tried.wait(), 10)
            task.cancel()
            client.close()
            deadlines.close()
            return tokens.holds

        assert asyncio.run(ask()) is False
        assert len(said) == 1 and said[0]["holds"] is False
        assert not [secret for secret in SECRETS if secret in str(said)]


def test_without_a_token_it_starts_is_503_and_serves_once_there_is_one(azure_before: Callable[..., Azure]) -> None:
    with Authority() as authority:
        authority.script = GARBAGE["no JSON"]
        azure = azure_before(authority)
        assert azure.caller.chat().status == 503
        assert azure.tokens == []
        assert azure.events("token_refresh_failed")[0]["level"] == "error"
        authority.script = None
        eventually(lambda: azure.caller.chat().status == 200)
        assert azure.events("token_refreshed")[0]["level"] == "info"


def test_a_token_endpoint_that_is_not_there(azure_before: Callable[..., Azure]) -> None:
    with Authority() as authority:
        authority.url = f"http://127.0.0.1:{refused_port()}/token"
        azure = azure_before(authority)
        assert azure.caller.chat().status == 503
        assert azure.events("token_refresh_failed")[0]["reason"] == "ConnectFailed"


def test_a_token_endpoint_that_is_slow_holds_nobody_up(azure_before: Callable[..., Azure]) -> None:
    with Authority(life_s=1) as authority:
        azure = azure_before(authority)
        authority.script = slow
        eventually(lambda: len(authority.asked) >= 2)
        began = time.monotonic()
        statuses = {azure.caller.chat().status for _ in range(5)}
        assert statuses <= {200, 503} and time.monotonic() - began < 5
        assert authority.most_at_once == 1
        azure.gateway.stop()  # and ends the one that waits


def test_a_token_that_the_provider_refuses_is_replaced(azure_before: Callable[..., Azure]) -> None:
    with Authority() as authority:
        azure = azure_before(authority)
        assert azure.caller.chat().status == 200
        azure.taken = "token-2"
        refused = azure.caller.chat()
        assert refused.status == 503 and b"token-" not in refused.body
        eventually(lambda: azure.caller.chat().status == 200)
        assert azure.tokens[-1] == "token-2"
        azure.taken = "none"  # it is asked once more, not with every call
        for _ in range(5):
            assert azure.caller.chat().status == 503
        assert authority.given == 2


def test_a_provider_that_tells_the_token_is_not_passed_on(azure_before: Callable[..., Azure]) -> None:
    """What it says of a bad request reaches the client without the token, though that looks like no secret."""
    with Authority() as authority:
        azure = azure_before(authority)
        words = b'{"error":{"message":"no good: token-1 and entra-client-secret","code":"x"}}'
        azure.upstream.script = lambda visit: visit.whole(400, words)
        refused = azure.caller.chat()
        assert (refused.status, refused.error["message"]) == (400, "no good: *** and ***")


def test_a_token_that_is_given(azure_before: Callable[..., Azure]) -> None:
    with Authority() as authority:
        azure = azure_before(authority, keys='token = "token-static"')
        assert azure.caller.chat().status == 200
        assert azure.tokens == ["token-static"] and authority.asked == []


# Google's


@contextmanager
def vertex(folder: Path, keys: str, environment: dict[str, str] | None = None) -> Iterator[tuple[Caller, list[Visit]]]:
    said = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "gemini-2.5-flash",
    }
    with Upstream() as upstream:
        visits = upstream.play(lambda visit: visit.whole(200, json.dumps(said).encode()))
        settings = f"""
[providers.vertex]
base_url = "http://127.0.0.1:{upstream.port}"
project = "p"
models = ["gemini-2.5-flash"]
{keys}
"""
        gateway = Gateway(folder, settings, environment)
        try:
            yield Caller(gateway, model="gemini-2.5-flash"), visits
        finally:
            gateway.stop()
        text = gateway.log.read_text()
        assert not [secret for secret in SECRETS if secret in text]


def fields_of(visit: Visit) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in visit.head.decode().split("\r\n")[1:])


def test_a_service_account_signs_for_its_token(session_folder: Path) -> None:
    with Authority() as authority:
        file = service_account(session_folder, authority.url)
        with vertex(session_folder, "", {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}) as (caller, visits):
            assert caller.chat().json()["choices"][0]["message"]["content"] == "hello"
        (asked,) = authority.asked
        assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        header, claims = claims_of(asked["assertion"])
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
        assert (claims["iss"], claims["aud"]) == ("robot@p.iam.gserviceaccount.com", authority.url)
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        assert claims["exp"] - claims["iat"] == 3600 and abs(claims["iat"] - time.time()) < 60
        fields = fields_of(visits[0])
        assert fields["authorization"] == "Bearer token-1" and "x-goog-api-key" not in fields
        path = "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-flash:generateContent"
        assert visits[0].head.startswith(f"POST {path} HTTP/1.1".encode())


def test_an_authorized_user_refreshes(session_folder: Path) -> None:
    with Authority() as authority:
        file = authorized_user(session_folder, authority.url)
        with vertex(session_folder, f'credentials_file = "{file}"') as (caller, visits):
            assert caller.chat().status == 200
        assert authority.asked == [
            {
                "grant_type": "refresh_token",
                "client_id": "client",
                "client_secret": CLIENT_SECRET,
                "refresh_token": REFRESH_TOKEN,
            }
        ]
        assert fields_of(visits[0])["x-goog-user-project"] == "quota-project"


def test_the_metadata_server_knows_the_machine(session_folder: Path) -> None:
    with Authority() as authority:
        seen: list[dict[str, str]] = []

        def script(visit: Visit) -> None:
            seen.append(fields_of(visit))
            authority.give(visit)

        authority.script = script
        host = f"127.0.0.1:{authority.upstream.port}"
        with vertex(session_folder, "", {"GCE_METADATA_HOST": host}) as (caller, visits):
            assert caller.chat().status == 200
        assert authority.paths == ["/computeMetadata/v1/instance/service-accounts/default/token"]
        assert (seen[0]["metadata-flavor"], fields_of(visits[0])["authorization"]) == ("Google", "Bearer token-1")
