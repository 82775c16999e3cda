"""The mock provider: chat completions and the streams of two other dialects, cheap enough to share a core with the
load.

Raw sockets and epoll. Paced streams share one timer of 1 ms; a chunk is one event, one HTTP chunk
and one write; a tick that comes late is not made up for. `bench_interval_us=0` sends as fast as the
socket takes. Back-pressure: a stream whose socket is full skips its ticks until it is not.
Run: python -m bench.upstream PORT
"""

import contextlib
import gc
import re
import select
import socket
import sys
import time

from bench.plans import STAMP_DIGITS, STAMP_MARK, TICK_NS, Plan, dumps, http_answer, plan_of
from bench.ticks import open_ticks, take_expiries

READ_BYTES = 65536
SKIM_BYTES = 262_144
SAMPLE_BYTES = 4096
PLANS_MAX = 256
PLAN_BODY_BYTES_MAX = 16384
FLOOD_CHUNKS_PER_WRITE = 16
FLOOD_WRITES_PER_TURN = 4
READ, WRITE = select.EPOLLIN, select.EPOLLOUT

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Connection:
    """One accepted socket and the stream it carries, if any."""

    __slots__ = ("chunks_left", "head", "left", "out", "partial", "plan", "send", "sock", "tail")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.send = sock.send
        self.partial = b""  # a request that has not wholly come
        self.left = 0  # body bytes still to skim
        self.head = b""
        self.tail = b""
        self.out = b""  # bytes the socket did not take
        self.plan: Plan | None = None  # the open stream
        self.chunks_left = 0


class Upstream:
    """The loop: sockets, the stream wheel and the counts."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener.fileno(), READ)
        self.timer = open_ticks(TICK_NS)
        self.poll.register(self.timer, READ)
        self.connections: dict[int, Connection] = {}
        self.plans: dict[tuple[bytes, bytes], Plan] = {}
        self.wheel: dict[int, list[Connection]] = {}
        self.now_tick = 0
        self.scratch = bytearray(SKIM_BYTES)
        self.requests = self.streams = self.chunks = self.deferred = self.cut = 0

    def run(self) -> None:
        """Serve until killed."""
        listener, timer = self.listener.fileno(), self.timer
        while True:
            for descriptor, event in self.poll.poll():
                if descriptor == timer:
                    self.tick()
                    continue
                if descriptor == listener:
                    self.accept()
                    continue
                connection = self.connections.get(descriptor)
                if connection is None:
                    continue
                try:
                    if event & WRITE:
                        self.on_writable(connection)
                    if event & ~WRITE:
                        self.on_readable(connection)
                except (ConnectionError, TimeoutError):
                    self.close(connection)

    def accept(self) -> None:
        """Take every waiting connection."""
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self.listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections[sock.fileno()] = Connection(sock)
                self.poll.register(sock.fileno(), READ)

    def close(self, connection: Connection) -> None:
        """Forget a connection; its place in the wheel is skipped when due."""
        descriptor = connection.sock.fileno()
        if descriptor < 0:
            return
        self.cut += connection.plan is not None
        connection.plan = None
        del self.connections[descriptor]
        self.poll.unregister(descriptor)
        connection.sock.close()

    def on_readable(self, connection: Connection) -> None:
        """Read a request, or a piece of one; answer when it is whole."""
        if connection.left:
            self.skim(connection)
            return
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close(connection)
            return
        if connection.partial:
            data = connection.partial + data
            connection.partial = b""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            connection.partial = data
            return
        head, body = data[: end + 2], data[end + 4 :]
        found = _LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        if len(body) >= length:
            self.answer(connection, head, body)
        elif length <= READ_BYTES:
            connection.partial = data
        else:
            connection.head = head
            connection.partial = b""
            connection.tail = body  # the first sample; skim() keeps its beginning
            connection.left = length - len(body)

    def skim(self, connection: Connection) -> None:
        """Read on in a large body, keeping its first and its last kilobytes."""
        try:
            count = connection.sock.recv_into(self.scratch)
        except BlockingIOError:
            return
        if not count:
            self.close(connection)
            return
        connection.left -= count
        if len(connection.tail) < SAMPLE_BYTES:  # the head may have come alone
            connection.tail += bytes(self.scratch[: min(count, SAMPLE_BYTES)])
        if not connection.left:
            ending = bytes(self.scratch[max(0, count - SAMPLE_BYTES) : count])
            sample = connection.tail[:SAMPLE_BYTES] + ending
            connection.tail = b""
            self.answer(connection, connection.head, sample)

    def answer(self, connection: Connection, head: bytes, body: bytes) -> None:
        """Answer one whole request."""
        if not head.startswith(b"POST") or _CHUNKED.search(head):
            self.write(connection, self.answer_to_other(head))
            return
        path = head.split(b" ", 2)[1]
        plan = self.plans.get((path, body))
        if plan is None:
            plan = plan_of(body, path)
            if len(self.plans) < PLANS_MAX and len(body) <= PLAN_BODY_BYTES_MAX:
                self.plans[path, body] = plan
        self.requests += 1
        if not plan.streams:
            self.write(connection, plan.answer)
            return
        self.streams += 1
        self.chunks += 1
        connection.plan = plan
        connection.chunks_left = plan.chunks
        self.write(connection, plan.answer + plan.first)
        if plan.floods:
            self.poll.modify(connection.sock.fileno(), READ | WRITE)
        else:
            due = self.now_tick + plan.interval_ticks
            self.wheel.setdefault(due, []).append(connection)

    def answer_to_other(self, head: bytes) -> bytes:
        """The counts, the models, or a refusal of what this server does not read."""
        if head.startswith(b"GET /bench/counts"):
            names = ("requests", "streams", "chunks", "deferred", "cut")
            return http_answer(b"200 OK", dumps({name: getattr(self, name) for name in names}))
        if head.startswith(b"GET /v1/models"):
            model = {"id": "bench-model", "object": "model", "created": 0, "owned_by": "bench"}
            return http_answer(b"200 OK", dumps({"object": "list", "data": [model]}))
        return http_answer(b"501 Not Implemented", b"{}")

    def write(self, connection: Connection, data: bytes) -> None:
        """Send; keep what the socket does not take and wait until it does."""
        if connection.out:
            connection.out += data
            return
        try:
            sent = connection.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            connection.out = data[sent:]
            self.poll.modify(connection.sock.fileno(), READ | WRITE)

    def on_writable(self, connection: Connection) -> None:
        """Send what was kept; then, for a flood, as much more as the socket takes."""
        if connection.out:
            data, connection.out = connection.out, b""
            self.write(connection, data)
            if connection.out:
                return
        plan = connection.plan
        if plan is None or not plan.floods:
            self.poll.modify(connection.sock.fileno(), READ)
            return
        for _ in range(FLOOD_WRITES_PER_TURN):
            count = min(FLOOD_CHUNKS_PER_WRITE, connection.chunks_left)
            connection.chunks_left -= count
            self.chunks += count
            if not connection.chunks_left:
                connection.plan = None
                self.poll.modify(connection.sock.fileno(), READ)
                self.write(connection, plan.chunk * count + plan.last)
                return
            self.write(connection, plan.chunk * count)
            if connection.out:
                return

    def tick(self) -> None:
        """Send one chunk on every stream that is due; a late tick is not made up for."""
        before = self.now_tick
        self.now_tick += take_expiries(self.timer)
        for tick in range(before + 1, self.now_tick + 1):
            for connection in self.wheel.pop(tick, ()):
                plan = connection.plan
                if plan is None:
                    continue
                due = self.now_tick + plan.interval_ticks
                if connection.out:
                    self.deferred += 1
                    self.wheel.setdefault(due, []).append(connection)
                    continue
                try:
                    if not self.send_chunk(connection, plan):
                        continue
                except ConnectionError:
                    self.close(connection)
                    continue
                if due in self.wheel:
                    self.wheel[due].append(connection)
                else:
                    self.wheel[due] = [connection]

    def send_chunk(self, connection: Connection, plan: Plan) -> bool:
        """Send one chunk, or the end of the stream; true while the stream goes on."""
        self.chunks += 1
        if not connection.chunks_left:
            connection.plan = None
            self.write(connection, plan.last)
            return False
        connection.chunks_left -= 1
        data = plan.chunk
        if plan.stamped:
            at = data.index(STAMP_MARK) + len(STAMP_MARK)
            stamp = b"%016d" % time.monotonic_ns()
            data = data[:at] + stamp + data[at + STAMP_DIGITS :]
        self.write(connection, data)
        return True


if __name__ == "__main__":
    gc.disable()
    Upstream(int(sys.argv[1])).run()
