"""Keep-alive connections that send one canned request and read the answers with as little work as
tells a whole answer from half of one. Used by every load kind; epoll and raw sockets.
"""

import re
import select
import socket
import ssl
import time
from collections.abc import Callable

READ_BYTES = 16384
CONNECT_TIMEOUT_S = 10.0
REOPENED_MAX = 100_000
OK = b"HTTP/1.1 200 "
EVENT = b"data: "
LAST_CHUNK = b"0\r\n\r\n"
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class LoadError(Exception):
    """The system under test refused, closed, or answered what is not an answer."""


class Connection:
    """One client connection; times in nanoseconds of the monotonic clock."""

    __slots__ = (
        "answer_bytes", "begun", "data", "first_content_ns", "intended_ns", "out", "recv", "send",
        "sock", "tail", "waiting",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.recv = sock.recv
        self.send = sock.send
        self.waiting = False  # a request was sent, its answer has not wholly come
        self.begun = False  # the head of the answer has come
        self.data = b""  # a plain answer that has not wholly come
        self.tail = b""  # the last bytes of a stream so far
        self.out: memoryview | None = None  # request bytes not yet taken
        self.answer_bytes = -1  # of the previous plain answer: the next is likely as long
        self.intended_ns = 0
        self.first_content_ns = 0


class Client:
    """Connections to one port, all sending `request`; `on_answer` is called per whole answer."""

    def __init__(self, port: int, request: bytes, *, streams: bool, tls: bool = False) -> None:
        self.port = port
        self.request = request
        self.streams = streams
        self.tls = _trusting_context() if tls else None
        self.poll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.on_answer: Callable[[Connection], None] = self.start
        self.on_events: Callable[[Connection, bytes], None] | None = None
        self.answers = self.events = self.reads = self.reopened = 0

    def connect(self) -> Connection:
        """Open one connection, blocking until it stands."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            sock = self.tls.wrap_socket(sock, server_hostname="localhost")
        sock.setblocking(False)
        connection = Connection(sock)
        self.connections[sock.fileno()] = connection
        self.poll.register(sock.fileno(), READ)
        return connection

    def close(self) -> None:
        """Close every connection."""
        for connection in self.connections.values():
            connection.sock.close()
        self.connections.clear()

    def start(self, connection: Connection) -> None:
        """Send the request on an idle connection."""
        connection.waiting = True
        connection.begun = False
        connection.tail = b""
        connection.first_content_ns = 0
        try:
            sent = connection.send(self.request)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            return  # the close is about to be read: reopen() sends it again
        if sent < len(self.request):
            connection.out = memoryview(self.request)[sent:]
            self.poll.modify(connection.sock.fileno(), READ | WRITE)

    def reopen(self, connection: Connection) -> None:
        """After a close between two answers (servers limit requests per connection): a new socket.

        A request the server closed upon unread is sent again, as any client would; it is still due
        when it was due.
        """
        if connection.begun or connection.data or self.reopened > REOPENED_MAX:
            raise LoadError(f"closed by the server after {connection.data[:300]!r}")
        self.reopened += 1
        del self.connections[connection.sock.fileno()]
        self.poll.unregister(connection.sock.fileno())
        connection.sock.close()
        fresh = self.connect()
        del self.connections[fresh.sock.fileno()]
        connection.sock, connection.recv, connection.send = fresh.sock, fresh.recv, fresh.send
        connection.out = None
        self.connections[connection.sock.fileno()] = connection
        if connection.waiting:
            self.start(connection)

    def turn(self, timeout_s: float) -> None:
        """Wait once for the sockets and handle what came."""
        for descriptor, event in self.poll.poll(timeout_s):
            self.handle(descriptor, event)

    def run_until(self, end_ns: int) -> None:
        """Handle the sockets until a moment of the monotonic clock."""
        while time.monotonic_ns() < end_ns:
            self.turn(0.01)

    def handle(self, descriptor: int, event: int) -> None:
        """Handle one epoll event."""
        connection = self.connections.get(descriptor)
        if connection is None:
            return
        try:
            if event & WRITE:
                self._send_rest(connection)
            if not event & ~WRITE:
                return
            data = connection.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ConnectionError:
            data = b""
        self.reads += 1
        if not data:
            self.reopen(connection)
        elif self.streams:
            self._read_stream(connection, data)
        else:
            self._read_plain(connection, data)

    def _send_rest(self, connection: Connection) -> None:
        if connection.out is not None:
            connection.out = connection.out[connection.send(connection.out) :]
            if len(connection.out):
                return
            connection.out = None
        self.poll.modify(connection.sock.fileno(), READ)

    def _read_plain(self, connection: Connection, data: bytes) -> None:
        if connection.data:
            data = connection.data + data
            connection.data = b""
        if len(data) != connection.answer_bytes or not data.startswith(OK):
            answer_bytes = plain_answer_bytes(data)
            if answer_bytes < 0 or len(data) < answer_bytes:
                connection.data = data
                return
            if not data.startswith(OK):
                raise LoadError(f"refused: {data[:600]!r}")
            connection.answer_bytes = answer_bytes
        connection.waiting = False
        self.answers += 1
        self.on_answer(connection)

    def _read_stream(self, connection: Connection, data: bytes) -> None:
        if not connection.begun:
            if not data.startswith(OK):
                raise LoadError(f"refused: {data[:600]!r}")
            connection.begun = True
        self.events += data.count(EVENT)
        if self.on_events is not None:
            self.on_events(connection, data)
        tail = connection.tail = (connection.tail + data)[-len(LAST_CHUNK) :]
        if tail == LAST_CHUNK:
            connection.waiting = connection.begun = False
            self.answers += 1
            self.on_answer(connection)


def plain_answer_bytes(data: bytes) -> int:
    """The length of the answer that begins here, head and body; -1 while it cannot be told."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return -1
    found = _LENGTH.search(data, 0, end + 2)
    if found:
        return end + 4 + int(found.group(1))
    return len(data) if data.endswith(LAST_CHUNK) else -1


def _trusting_context() -> ssl.SSLContext:
    """TLS that accepts the bench's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
