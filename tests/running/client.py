"""A client that sends and sees every byte, and a caller that knows a gateway and one of its keys."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .processes import Gateway, Simulator

T = TypeVar("T")

TIMEOUT_S = 30.0
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
DONE = b"data: [DONE]\n\n"


def eventually(look: Callable[[], T], within_s: float = 10.0) -> T:
    """What `look` gives once it gives something true; AssertionError if it does not within `within_s`."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {look}"
        time.sleep(0.01)
    return found


def last_entry(simulator: Simulator) -> int:
    """The number of the truth log's last entry, once nothing of an earlier test is under way."""
    return eventually(lambda: (truth := simulator.get("/simulator/truth"))["in_flight"] == 0 and [truth["last_seq"]])[0]


@dataclass
class Answer:
    """An answer as it came. `fields` have lower-case names."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes | bytearray = b""

    def header(self, name: str) -> str | None:
        """The last field of that name."""
        return dict(self.fields).get(name)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.fields}

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json()["error"]

    @property
    def events(self) -> list[Any]:
        return events_of(self.body)

    @property
    def text(self) -> str:
        """What a stream's deltas say."""
        return text_of(self.events)


def events_of(body: bytes | bytearray) -> list[Any]:
    """The data of plainly framed events; JSON decoded, `[DONE]` as text."""
    found = [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part.startswith(b"data: ")]
    return [json.loads(data) if data.startswith(b"{") else data.decode() for data in found]


def text_of(events: list[Any]) -> str:
    """What the deltas of a chat stream say."""
    choices = [choice for event in events if isinstance(event, dict) for choice in event.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def request_bytes(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, key: str | None = None
) -> bytes:
    """A well-formed request; `headers` win over what is set here."""
    fields = {"host": "gateway"}
    if key is not None:
        fields["authorization"] = f"Bearer {key}"
    if body or method == "POST":
        fields |= {"content-type": "application/json", "content-length": str(len(body))}
    fields |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


class Connection:
    """A TCP connection. Reads answers one after the other, a stream piece by piece."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None, source: str | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_S)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            if source is not None:
                self.socket.bind((source, 0))
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self._buffer = bytearray()
        self._body: Callable[[], bool] = lambda: True
        self.current = Answer(0, [])

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> float:
        """Close; the moment before, unix seconds."""
        moment = time.time()
        self.socket.close()
        return moment

    def reset(self) -> float:
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return self.close()

    def head(self) -> Answer:
        """The next answer's head."""
        head = self._take(self._until(b"\r\n\r\n") + 4)[:-4]
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        answer = Answer(int(first.split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs])
        self.current = answer
        length = answer.header("content-length")
        if answer.header("transfer-encoding") == "chunked":
            answer.body = bytearray()
            self._body = self._chunk
        else:
            self._body = lambda: self._sized(int(length or 0))
        return answer

    def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer, whole; `bodiless` for the answer to a HEAD."""
        self.head()
        return self.current if bodiless else self.rest()

    def rest(self) -> Answer:
        """The present answer with all that is left of its body."""
        while not self._body():
            pass
        self.current.body = bytes(self.current.body)
        return self.current

    def body_of(self, size: int) -> None:
        """Read on until the present answer's body has `size` bytes."""
        while len(self.current.body) < size:
            assert not self._body()

    def body_until(self, mark: bytes, times: int = 1) -> bytes | bytearray:
        """The present answer's body once it holds `mark`, that many times."""
        ended = False
        while self.current.body.count(mark) < times:
            assert not ended, f"ended without {mark!r}: {self.current.body[-300:]!r}"
            ended = self._body()
        return self.current.body

    def ended(self) -> bytes:
        """What still comes until the other side ends the connection."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self._buffer += data
        return self._take(len(self._buffer))

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"ended after {bytes(self._buffer[-300:])!r}")
        self._buffer += data

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _until(self, mark: bytes) -> int:
        """Where `mark` stands in what has come."""
        while (position := self._buffer.find(mark)) < 0:
            self._receive()
        return position

    def _sized(self, length: int) -> bool:
        self.current.body = self._take(length)
        self._body = lambda: True
        return True

    def _chunk(self) -> bool:
        """Read one chunk; whether it was the last."""
        size = int(self._take(self._until(b"\r\n") + 2), 16)
        data = self._take(size + 2)
        assert data.endswith(b"\r\n")
        self.current.body += data[:-2]
        if size == 0:
            self._body = lambda: True
        return size == 0


class Caller:
    """A gateway and a key of it. Each call has a connection of its own unless it is given one."""

    def __init__(self, gateway: Gateway, key: str | None = None, model: str = "test-model") -> None:
        self.gateway = gateway
        self.key = gateway.key if key is None else key
        self.model = model

    def open(self, **options: Any) -> Connection:
        return Connection(self.gateway.port, **options)

    def bytes_of(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
        """A request with the key as bytes; `body` may be bytes or what becomes JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return request_bytes(method, path, data, headers, self.key)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request, its whole answer."""
        with self.open() as connection:
            connection.send(self.bytes_of(method, path, body, headers))
            return connection.answer(bodiless=method == "HEAD")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, None, headers)

    def body(self, plan: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
        """A chat body; `plan` is what the simulator is to do."""
        body = {"model": self.model, "messages": HELLO, **members}
        return body if plan is None else {**body, "simulator": plan}

    def chat(
        self, plan: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None, **members: Any
    ) -> Answer:
        """A chat, its whole answer."""
        return self.ask("POST", CHAT, self.body(plan, **members), headers)

    def stream(
        self, plan: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None, **members: Any
    ) -> Connection:
        """A streamed chat whose head has been read; the caller closes the connection."""
        connection = self.open()
        try:
            connection.send(self.bytes_of("POST", CHAT, self.body(plan, stream=True, **members), headers))
            connection.head()
        except BaseException:
            connection.close()
            raise
        return connection

    def streamed(
        self, plan: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None, **members: Any
    ) -> Answer:
        """A streamed chat, its whole answer."""
        with self.stream(plan, headers, **members) as connection:
            return connection.rest()

    def gauge(self, name: str) -> float:
        """A figure of /metrics."""
        lines = self.get("/metrics").body.decode().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def record(self, request_id: str | None) -> dict[str, Any]:
        """The record of a request of this key's project, once it is there."""

        def look() -> dict[str, Any] | None:
            answer = self.get(f"/v1/requests/{request_id}")
            return answer.json() if answer.status == 200 else None

        return eventually(look)

    def log_line(self, client_request_id: str) -> dict[str, Any]:
        """The log line of the request that was sent with this x-request-id, once it is there."""

        def look() -> dict[str, Any] | None:
            lines = [line for line in self.gateway.log_lines() if line.get("client_request_id") == client_request_id]
            return lines[0] if lines else None

        return eventually(look)
