"""A simulator in a process of its own, the official SDK, and a raw client that sees every byte."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from faregate.wire.sse import FrameParser

SOURCE = Path(__file__).parents[2] / "src"
START = """
import sys
from pathlib import Path
from faregate.simulator.serve import run
log = Path(sys.argv[1]) if sys.argv[1] else None
run(log_path=log, ready=lambda port: print(port, flush=True), stop_with_parent=len(sys.argv) > 2)
"""
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def start(log_path: Path | None = None, **environment: str) -> tuple[subprocess.Popen[str], int]:
    """A new simulator process and its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(log_path or "")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def stop(process: subprocess.Popen[str]) -> int:
    """End it with SIGTERM; its exit status."""
    process.terminate()
    assert process.stdout is not None
    assert process.stdout.read() == ""
    process.stdout.close()
    return process.wait(5)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    pieces = []
    while piece := connection.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def frames(body: bytes) -> list[Any]:
    """The events of a stream: JSON, or text where it is none."""
    parser = FrameParser()
    found = [frame.data for frame in parser.feed(body) if frame.data is not None]
    rest = parser.close()
    found += [rest.data] if rest is not None and rest.data is not None else []
    return [json.loads(data) if data.startswith(b"{") else data.decode() for data in found]


@dataclass
class Reply:
    """An answer as it came, whole or not."""

    raw: bytes

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode().split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def field(self, name: str) -> str | None:
        return dict(self.fields).get(name)

    @property
    def chunks(self) -> list[bytes]:
        """The chunks, as far as they came."""
        rest, pieces = self.raw.partition(b"\r\n\r\n")[2], []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            pieces.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return pieces

    @property
    def body(self) -> bytes:
        if self.field("transfer-encoding") == "chunked":
            return b"".join(self.chunks)
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def ended(self) -> bool:
        """Whether the answer says that it is complete."""
        if self.field("transfer-encoding") == "chunked":
            return self.raw.endswith(b"\r\n0\r\n\r\n")
        return len(self.body) == int(self.field("content-length") or -1)

    def json(self) -> Any:
        return json.loads(self.body)


class Simulated:
    """A running simulator as its clients see it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def open(
        self, body: Any, path: str = CHAT, key: str | None = "sk-test", fields: dict[str, str] | None = None
    ) -> socket.socket:
        """Send a request; the socket to read the answer from."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: simulator",
            f"Content-Length: {len(data)}",
            "Connection: close",
            *(f"{name}: {text}" for name, text in (fields or {}).items()),
        ]
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        connection = socket.create_connection(("127.0.0.1", self.port), 5)
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        return connection

    def post(
        self, body: Any, path: str = CHAT, key: str | None = "sk-test", fields: dict[str, str] | None = None
    ) -> Reply:
        """A request and all that comes back until the connection ends."""
        with self.open(body, path, key, fields) as connection:
            return Reply(everything(connection))

    def ask(self, plan: dict[str, Any] | None = None, **members: Any) -> Reply:
        """A chat with `plan` for its faults."""
        body = {"model": "gpt-4o", "messages": HELLO, **members}
        return self.post(body if plan is None else {**body, "simulator": plan})

    def stream(self, plan: dict[str, Any] | None = None, **members: Any) -> Reply:
        """The same, streamed, with usage."""
        return self.ask(plan, stream=True, stream_options={"include_usage": True}, **members)

    def call(self, method: str, path: str, key: str | None = None) -> Reply:
        """A request without a body."""
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            head = f"{method} {path} HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n{authorization}\r\n"
            connection.sendall(head.encode())
            return Reply(everything(connection))

    @property
    def seq(self) -> int:
        return self.call("GET", "/simulator/truth").json()["last_seq"]

    def truth(self, since: int, count: int = 1) -> list[dict[str, Any]]:
        """The entries after `since`, once there are `count`."""
        until = since + count
        path = f"/simulator/truth?since={since}&until={until}&wait_ms=5000"
        entries = self.call("GET", path).json()["entries"]
        assert len(entries) >= count
        return entries


@pytest.fixture(scope="session")
def simulated() -> Iterator[Simulated]:
    process, port = start()
    yield Simulated(port)
    assert stop(process) == 0


@pytest.fixture(scope="session")
def client(simulated: Simulated) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"http://127.0.0.1:{simulated.port}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.fixture
def since(simulated: Simulated) -> int:
    """The truth log's last entry before the test."""
    return simulated.seq
