"""Providers whose every byte the test decides, for what no honest simulator does."""

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
_TIMEOUT_S = 60.0


def chunk_of(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event_of(delta: dict[str, Any] | None, finish: str | None = None, model: str = "scripted", **more: Any) -> bytes:
    """A chat chunk as an event; no choices where `delta` is None."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    return b"data: %b\n\n" % json.dumps({**head, "choices": choices, **more}, separators=(",", ":")).encode()


def said(text: str) -> bytes:
    """An event with a bit of text."""
    return event_of({"content": text})


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
ROLE = event_of({"role": "assistant", "content": ""})
FINISH = event_of({}, "stop")
USAGE_EVENT = event_of(None, usage=USAGE)
DONE = b"data: [DONE]\n\n"


class Visit:
    """One request that came, and the way to answer it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.head = b""
        self.body = b""
        self.gone_at: float | None = None

    def receive(self) -> bool:
        """Read a request; False where none comes."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._connection.recv(65536)
            if not piece:
                return False
            data += piece
        self.head, _, self.body = data.partition(b"\r\n\r\n")
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
                while len(self.body) < length:
                    self.body += self._connection.recv(65536)
        return True

    def json(self) -> Any:
        """The request's body."""
        return json.loads(self.body)

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def whole(self, status: int, body: bytes, kind: str = "application/json", fields: bytes = b"") -> None:
        """A whole answer."""
        head = b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n"
        self.send(head % (status, kind.encode(), len(body), fields) + body)

    def stream(self, *pieces: bytes) -> None:
        """The head of a stream and these pieces, a chunk each."""
        self.send(STREAM_HEAD + b"".join(chunk_of(piece) for piece in pieces))

    def pieces(self, *pieces: bytes) -> None:
        """More of a stream, a chunk each."""
        self.send(b"".join(chunk_of(piece) for piece in pieces))

    def end(self) -> None:
        """The end of a stream's body."""
        self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Go away without a word."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def check(self) -> None:
        """ConnectionError where the other side has gone."""
        if self._is_readable(0) and not self._connection.recv(1):
            raise ConnectionResetError

    def _is_readable(self, within_s: float) -> bool:
        poll = select.poll()  # select() knows no descriptor over a thousand
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def until_gone(self, within_s: float = _TIMEOUT_S) -> float:
        """Wait until the other side goes; when it did, unix seconds."""
        assert self._is_readable(within_s), "the other side is still there"
        with contextlib.suppress(ConnectionError):
            assert self._connection.recv(1) == b""
        self.gone_at = time.time()
        return self.gone_at


Script = Callable[[Visit], None]


class Upstream:
    """Listens on a port of its own; each request is given to `script`, in a thread, and its connection then closed."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.visits: list[Visit] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> "Upstream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Accept no more; wait for the scripts."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)

    def play(self, script: Script) -> list[Visit]:
        """What the next requests get; the list that will hold them."""
        self.script = script
        self.visits = []
        return self.visits

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_TIMEOUT_S)
            visit = Visit(connection)
            visits, script = self.visits, self.script
            if visit.receive() and script is not None:
                visits.append(visit)
                script(visit)


def refused_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
