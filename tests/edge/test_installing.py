"""What docs/installing.md tells an operator to do, done: its unit, its nginx, its way to a backup and back."""

import re
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.money.books import customer_of
from tests.money.reopening import Reopened
from tests.running.client import CHAT, DONE, Caller, Connection, eventually
from tests.running.processes import Gateway, Simulator, simulated

PAGE = (Path(__file__).parents[2] / "docs" / "installing.md").read_text("utf-8")
TRUSTED = '[server]\ntrusted_proxies = ["127.0.0.1", "::1"]'
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return text


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def fronted(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    gateway = Gateway(session_folder, simulated(simulator, more=TRUSTED))
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def nginx(fronted: Gateway) -> Iterator[int]:
    """The page's nginx before the gateway, without TLS; its port. Skipped where there is none."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = block("nginx").replace("127.0.0.1:8080", f"127.0.0.1:{fronted.port}")
    text = re.sub(r"ssl_certificate.*;", "", text).replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    folders = "".join(f"{name}_temp_path {fronted.folder}/{name};" for name in FOLDERS)
    config = fronted.folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {fronted.folder}/nginx.pid; error_log {fronted.folder}/nginx.log;"
        f"events {{}} http {{ access_log off; {folders} {text} }}"
    )
    process = subprocess.Popen([program, "-c", str(config), "-e", f"{fronted.folder}/nginx.log"])
    try:
        eventually(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def test_streams_pass_nginx_as_they_come(fronted: Gateway, nginx: int) -> None:
    caller = Caller(fronted, fronted.key)
    plan = {"output_tokens": 200, "tokens_per_s": 100}
    with Connection(nginx) as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body(plan, stream=True)))
        connection.head()
        connection.body_until(b'"content":', 5)
        assert caller.gauge("faregate_in_flight") == 1
        assert connection.rest().body.endswith(DONE)


def test_behind_nginx_clients_have_their_own_addresses_and_large_bodies_pass(fronted: Gateway, nginx: int) -> None:
    caller = Caller(fronted, fronted.key)
    body = caller.body({"output_tokens": 1})
    body["messages"] = [{"role": "user", "content": "a word " * 300_000}]
    with Connection(nginx) as connection:
        head = {"x-forwarded-for": "192.0.2.7", "x-request-id": "behind-nginx"}
        connection.send(caller.bytes_of("POST", CHAT, body, head))
        assert connection.answer().status == 200
        assert caller.log_line("behind-nginx")["client_address"] == "192.0.2.7"
        connection.send(caller.bytes_of("GET", "/metrics"))
        assert connection.answer().status == 404


def test_the_unit_is_one(tmp_path: Path) -> None:
    text = block("ini")
    [start] = re.findall(r"^ExecStart=/opt/faregate/.venv/bin/faregate (\w+)$", text, re.MULTILINE)
    assert start == "serve"
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop_s) > 30  # drain_timeout_s
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "faregate.service"
    unit.write_text(text.replace("/opt/faregate/.venv/bin/faregate", "/bin/true").replace("User=faregate\n", ""))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=30, check=False)
    assert str(unit) not in done.stderr and "faregate.service" not in done.stderr, done.stderr


def test_a_backup_of_a_running_gateway_is_restored_into_an_empty_folder(
    session_folder: Path, simulator: Simulator, tmp_path: Path
) -> None:
    """The database and the pepper are all of it; what was charged since the backup is not in it."""
    gateway = Gateway(session_folder, simulated(simulator))
    caller = customer_of(gateway, "restored", "1", "test-model")
    first = caller.chat({"output_tokens": 5})
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(gateway.data / "faregate.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    later = caller.chat({"output_tokens": 5})
    assert (first.status, later.status) == (200, 200)
    pepper = (gateway.data / "pepper").read_bytes()
    assert gateway.stop() == 0
    shutil.rmtree(gateway.data)
    gateway.data.mkdir(mode=0o700)
    shutil.copy(copy, gateway.data / "faregate.db")
    (gateway.data / "pepper").write_bytes(pepper)
    (gateway.data / "pepper").chmod(0o600)
    assert gateway.command("ledger", "verify").returncode == 0
    restored = Reopened(gateway)
    try:
        again = Caller(restored, caller.key)
        assert again.chat({"output_tokens": 5}).status == 200
        assert again.record(first.header("x-request-id"))["status"] == 200
        assert again.get(f"/v1/requests/{later.header('x-request-id')}").status == 404
        assert restored.command("ledger", "verify").returncode == 0
    finally:
        assert restored.stop() == 0
