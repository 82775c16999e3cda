"""F96, F103, F104: revoked keys, what is never written down, and settings that are refused."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faregate.settings import Settings
from tests.faults.conftest import providers
from tests.running.client import CHAT, Caller, eventually, request_bytes
from tests.running.processes import CLEAN, Gateway, Process, Simulator, simulated
from tests.running.upstreams import Upstream

REFUSED_WITHIN_S = 1.0
CUT_WITHIN_S = 5.0


# F96


@pytest.fixture
def make_key(scaled: Gateway) -> Callable[..., dict[str, Any]]:
    """Makes a key of the demo project, as `faregate keys create --json` tells of it."""

    def make(*arguments: str) -> dict[str, Any]:
        name = f"key-{uuid.uuid4()}"
        return json.loads(scaled.command("keys", "create", name, "--project", "demo", "--json", *arguments).stdout)

    return make


@pytest.fixture
def key(make_key: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return make_key()


def revoke(gateway: Gateway, key: dict[str, Any]) -> float:
    """Revoke the key from another process; the moment after, monotonic seconds."""
    assert gateway.command("keys", "revoke", key["id"]).returncode == 0
    return time.monotonic()


def refused(caller: Caller) -> bool:
    answer = caller.get("/v1/models")
    assert answer.status in (200, 401)
    return answer.status == 401


class Replica(Process):
    """A second gateway on the same data."""

    def __init__(self, gateway: Gateway) -> None:
        arguments = ["-m", "faregate", "serve", "--json", "--port", "0", "--config", str(gateway.config)]
        super().__init__([*arguments, "--data", str(gateway.data)], {}, gateway.folder / "replica.log")
        self.port = int(self.ready["base_url"].rsplit(":", 1)[1].partition("/")[0])


@pytest.fixture
def replica(scaled: Gateway) -> Iterator[Replica]:
    process = Replica(scaled)
    yield process
    process.stop()


@pytest.mark.contract("2.3")
def test_f96_revoked_key_is_refused_on_all_replicas(scaled: Gateway, replica: Replica, key: dict[str, Any]) -> None:
    callers = [Caller(scaled, key["key"]), Caller(replica, key["key"])]  # type: ignore[arg-type]
    for caller in callers:
        assert not refused(caller)  # now it is in the cache
    revoked_at = revoke(scaled, key)
    for caller in callers:
        eventually(lambda caller=caller: refused(caller), REFUSED_WITHIN_S)
    assert time.monotonic() - revoked_at < REFUSED_WITHIN_S + 0.5
    assert callers[0].get("/v1/models").error["message"] == "Invalid API key provided."


@pytest.mark.contract("2.3")
def test_f96_running_stream_is_cut(scaled: Gateway, simulator: Simulator, since: int, key: dict[str, Any]) -> None:
    caller = Caller(scaled, key["key"])
    with caller.stream({"output_tokens": 10_000, "tokens_per_s": 20}) as connection:
        revoked_at = revoke(scaled, key)
        answer = connection.rest()
        assert time.monotonic() - revoked_at < CUT_WITHIN_S
    error, done = answer.events[-2:]
    assert (error["error"]["type"], error["error"]["code"]) == ("authentication_error", "invalid_api_key")
    assert done == "[DONE]"
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    assert entry["outcome"] == "client_gone"
    record = Caller(scaled).record(answer.header("x-request-id"))  # a key of the same project
    assert (record["status"], record["error_kind"]) == (401, "invalid_key")
    assert record["usage"]["source"] == "counted"
    assert 0 < record["usage"]["output"] <= entry["tokens_sent"]


def test_f96_running_request_without_an_answer_yet_is_cut(scaled: Gateway, key: dict[str, Any]) -> None:
    caller = Caller(scaled, key["key"])
    for stream in (False, True):
        with caller.open() as connection:
            body = caller.body({"stall_before_head_ms": 60_000}, stream=stream)
            connection.send(caller.bytes_of("POST", CHAT, body))
            eventually(lambda: Caller(scaled).gauge("faregate_in_flight") == 1)
            revoke(scaled, key)
            answer = connection.answer()
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        key = json.loads(scaled.command("keys", "create", "again", "--project", "demo", "--json").stdout)
        caller = Caller(scaled, key["key"])


def test_f96_upload_under_way_is_cut(scaled: Gateway, simulator: Simulator, since: int, key: dict[str, Any]) -> None:
    caller = Caller(scaled, key["key"])
    assert not refused(caller)
    with caller.open() as connection:
        connection.send(request_bytes("POST", CHAT, b"", {"content-length": "100000"}, key["key"]) + b"{" + b" " * 9000)
        eventually(lambda: caller.gauge("faregate_bodies_bytes") > 0)
        revoke(scaled, key)
        answer = connection.answer()
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert simulator.get("/simulator/truth")["last_seq"] == since


@pytest.mark.parametrize("noun", ["orgs", "projects"])
def test_streams_of_what_was_disabled_are_cut(noun: str, scaled: Gateway, key: dict[str, Any]) -> None:
    caller = Caller(scaled, key["key"])
    try:
        with caller.stream({"output_tokens": 10_000, "tokens_per_s": 20}) as connection:
            disabled_at = time.monotonic()
            assert scaled.command(noun, "disable", "demo").returncode == 0
            answer = connection.rest()
            assert time.monotonic() - disabled_at < CUT_WITHIN_S
        assert answer.events[-2]["error"]["code"] == "account_disabled"  # the key is good, and will open again
        assert caller.get("/v1/models").error["code"] == "account_disabled"
    finally:
        assert scaled.command(noun, "enable", "demo").returncode == 0
    eventually(lambda: caller.get("/v1/models").status == 200)


def test_f96_other_keys_go_on(scaled: Gateway, key: dict[str, Any], caller: Caller) -> None:
    with caller.stream({"output_tokens": 30, "tokens_per_s": 20}) as connection:
        revoke(scaled, key)
        answer = connection.rest()
    assert answer.events[-2]["choices"][0]["finish_reason"] is not None


@pytest.mark.contract("2.3")
def test_f96_rotated_key(scaled: Gateway, key: dict[str, Any]) -> None:
    """The new secret opens at once; the old one stops, at once or after its grace."""
    old = Caller(scaled, key["key"])
    assert not refused(old)
    second = json.loads(scaled.command("keys", "rotate", key["id"], "--grace", "1h", "--json").stdout)
    assert second["id"] == key["id"]
    new = Caller(scaled, second["key"])
    assert not refused(new)
    assert not refused(old)
    third = json.loads(scaled.command("keys", "rotate", key["id"], "--json").stdout)
    for caller in (old, new):
        eventually(lambda caller=caller: refused(caller), REFUSED_WITHIN_S)
    assert not refused(Caller(scaled, third["key"]))


# F103

CANARY = "canary-3f9c1b7a-prompt"
SECRETS = ("simulator-secret-key", "scripted-secret-key", "dead-secret-key", "canary-header-secret")


def varied_requests(caller: Caller, scripted: Upstream) -> Iterator[bytes]:
    """Requests of all kinds with the canary in them; the error answers' bodies."""
    messages = [{"role": "user", "content": f"say {CANARY} again"}]
    tools = [{"type": "function", "function": {"name": "f", "description": CANARY, "parameters": {"type": "object"}}}]
    scripted.play(lambda visit: visit.whole(500, json.dumps({"error": {"message": CANARY}}).encode()))
    plans: list[dict[str, Any]] = [
        {"text": CANARY},
        {"status": 400, "echo_authorization": True, "error_message": CANARY},
        {"status": 401, "echo_authorization": True, "error_message": CANARY},
        {"status": 500, "error_message": CANARY, "echo_authorization": True},
        {"cut_after_bytes": 700, "text": CANARY * 40},
        {"malformed": "not_json"},
        {"usage": "absurd", "text": CANARY},
    ]
    for plan in plans:
        for stream in (False, True):
            answer = caller.chat(plan, messages=messages, stream=stream, tools=tools, user=CANARY)
            if answer.status >= 400 and plan.get("status") != 400:
                yield answer.body
    for model in ("scripted", "repaired", "dead-model", "first-dead", "unknown-model"):
        yield from (caller.chat(messages=messages, model=model).body for _ in range(2) if model != "first-dead")
    bodies: list[Any] = [
        {"model": "test-model", "messages": [{"role": "user", "content": 1, CANARY: CANARY}]},
        {"model": "test-model", "messages": messages, "temperature": CANARY},
        {"model": "test-model", "messages": messages, "tools": [{CANARY: 1}]},
        {"model": "test-model", "messages": CANARY},
        {"model": f"{CANARY}\n", "messages": messages},
        json.dumps({"model": "test-model", "messages": messages}).encode()[:-9],
        f'{{"{CANARY}": {CANARY}}}'.encode(),
    ]
    for body in bodies:
        yield caller.ask("POST", CHAT, body).body
    unknown = caller.get(f"/v1/{CANARY}?q={CANARY}", {"user-agent": CANARY, "x-canary": CANARY, "cookie": CANARY})
    yield unknown.body.replace(f"'/v1/{CANARY}'".encode(), b"")  # its path is told to the caller, and to nobody else
    yield caller.get(f"/v1/models?api_key={CANARY}").body
    with caller.open() as connection:
        connection.send(f"{CANARY} {CANARY}\r\n\r\n".encode())
        yield connection.answer().body
    with caller.stream({"text": CANARY * 1000, "tokens_per_s": 50}, messages=messages) as connection:
        connection.close()


@pytest.fixture
def canaries(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    more = '\n[log]\nlevel = "debug"\n[providers.sim.headers]\n"x-secret" = "canary-header-secret"\n'
    process = Gateway(session_folder, providers(simulator, scripted) + more)
    yield process
    if process.popen.poll() is None:
        process.stop()


@pytest.mark.contract("7.6")
def test_f103_nothing_is_written_down(canaries: Gateway, scripted: Upstream) -> None:
    caller = Caller(canaries)
    errors = list(varied_requests(caller, scripted))
    assert len(errors) > 20
    for error in errors:
        assert not [secret for secret in (*SECRETS, caller.key) if secret.encode() in error], error
        assert CANARY.encode() not in error, error
    metrics = caller.get("/metrics").body
    assert canaries.stop() == 0
    written = {path: path.read_bytes() for path in canaries.data.rglob("*") if path.is_file()}
    assert any(path.suffix == ".db" for path in written)
    written |= {Path("log"): canaries.log.read_bytes(), Path("metrics"): metrics}
    assert len(written[Path("log")].splitlines()) > 30
    key_secret = caller.key.partition("-")[2].rpartition("-")[2]
    assert len(key_secret) > 40
    for needle in (CANARY, *SECRETS, key_secret):
        found = [str(path) for path, data in written.items() if needle.encode() in data]
        assert not found, f"{needle} in {found}"


def test_f103_no_core_dumps(scaled: Gateway) -> None:
    limits = Path(f"/proc/{scaled.pid}/limits").read_text().splitlines()
    line = next(line for line in limits if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


# F104

WRONG = {
    "unknown-table": ("[severs]\nport = 1\n", "severs"),
    "unknown-key": ("[server]\nprot = 1\n", "server.prot"),
    "unknown-limit": ("[limits]\nhead_timeout = 1.0\n", "limits.head_timeout"),
    "wrong-type": ('[server]\nport = "x"\n', "server.port"),
    "negative-deadline": ("[deadlines]\nidle_timeout_s = -1.0\n", "deadlines.idle_timeout_s"),
    "unknown-provider-key": ('[providers.x]\nbase_url = "http://h/v1"\nkye = "canary-secret"\n', "providers.x.kye"),
    "unknown-wire": ('[providers.x]\nbase_url = "http://h/v1"\nwire = "close"\n', "providers.x.wire"),
    "no-url": ('[providers.x]\nkey = "canary-secret"\n', "x"),
    "route-to-nowhere": ('[[routes]]\nmodel = "m"\nprovider = "nobody"\n', "nobody"),
    "not-toml": ("[server\n", "faregate.toml"),
    "secret-of-wrong-type": ("[providers.x]\nkey = 5\n", "providers.x.key"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("noun", ["serve", "up"])
def test_f104_settings_that_are_refused(noun: str, case: str, tmp_path: Path) -> None:
    """It does not start, and says where the mistake is; a secret beside it is not shown."""
    text, named = WRONG[case]
    config = tmp_path / "faregate.toml"
    config.write_text(f"# a comment\n\n{text}", "utf-8")
    words = [sys.executable, "-m", "faregate", noun, "--config", str(config), "--data", str(tmp_path / "data")]
    done = subprocess.run([*words, "--port", "0"], capture_output=True, text=True, env=CLEAN, timeout=30, check=False)
    assert done.returncode not in (0, None)
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary-secret" not in done.stderr + done.stdout
    assert done.stdout == ""


def test_defaults_of_the_deadlines() -> None:
    """The figures of security.md S12 and the fault catalogue, of which these tests run at a tenth."""
    settings = Settings()
    limits, deadlines = settings.limits, settings.deadlines
    assert (limits.head_timeout_s, limits.body_progress_timeout_s, limits.keep_alive_timeout_s) == (10, 30, 75)
    assert limits.body_rate_min_bytes_per_s == 1024
    assert (limits.head_bytes_max, limits.head_fields_max, limits.target_bytes_max) == (16 * 1024, 100, 8 * 1024)
    assert limits.json_body_bytes_max == 32 * 1024 * 1024
    assert limits.unauthenticated_per_address_max == 200
    assert limits.write_timeout_s == 30
    assert (limits.longest_request_s, limits.keep_alive_comment_s) == (600, 15)
    assert (deadlines.connect_timeout_s, deadlines.first_byte_timeout_s, deadlines.idle_timeout_s) == (3, 30, 30)
    assert settings.server.drain_timeout_s == 30


def test_the_gateway_of_the_session_has_the_defaults(simulator: Simulator) -> None:
    """What the other folders test against sets no limit of its own."""
    assert "limits" not in simulated(simulator)
