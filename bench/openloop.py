"""Open loop: request k is due at start + k / rate, whatever became of the others.

A latency counts from when the request was due, not from when a connection was free to send it, so a
system that stalls is charged for every request that should have been sent meanwhile (no coordinated
omission). How late this process itself sent is recorded too; the direct upstream, measured at the
same rate, carries the same lateness, and what a system adds is the difference of the percentiles.
"""

import time
from array import array
from collections import deque

from bench.client import Client, Connection
from bench.plans import STAMP_DIGITS, STAMP_MARK
from bench.ticks import open_ticks, take_expiries

NS_PER_S = 1_000_000_000
TICK_NS_MIN = 50_000
QUEUE_MAX = 100_000
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def percentiles_us(samples_ns: "array[int]") -> dict[str, float]:
    """Percentiles of nanosecond samples, in microseconds, by nearest rank."""
    ordered = sorted(samples_ns)
    last = len(ordered) - 1
    return {
        f"p{percentile:g}": ordered[round(last * percentile / 100)] / 1000 if ordered else -1.0
        for percentile in PERCENTILES
    }


class OpenLoop:
    """The schedule, the free connections, and what was recorded."""

    def __init__(self, client: Client, rate_per_s: float, connections_max: int) -> None:
        self.client = client
        self.interval_ns = NS_PER_S / rate_per_s
        self.connections_max = connections_max
        self.free: list[Connection] = []
        self.queue: deque[int] = deque()  # due, no connection free
        self.due_ns = 0.0
        self.dropped = 0
        self.recorded_from_ns = 0
        self.latencies_ns: array[int] = array("q")  # to the whole answer
        self.firsts_ns: array[int] = array("q")  # to the first content
        self.transits_ns: array[int] = array("q")  # of one chunk, upstream's write to our read
        self.lateness_ns: array[int] = array("q")
        client.on_answer = self.finish
        client.on_events = self.see_events if client.streams else None
        self.timer = open_ticks(max(int(self.interval_ns), TICK_NS_MIN))
        client.poll.register(self.timer)

    def record(self) -> None:
        """Forget what was recorded; count requests due from now on."""
        self.recorded_from_ns = time.monotonic_ns()
        for samples in (self.latencies_ns, self.firsts_ns, self.transits_ns, self.lateness_ns):
            del samples[:]
        self.dropped = 0

    def run(self, duration_s: float) -> None:
        """Send on schedule for a while."""
        client, timer = self.client, self.timer
        now_ns = time.monotonic_ns()
        end_ns = now_ns + int(duration_s * NS_PER_S)
        self.due_ns = self.due_ns or float(now_ns)
        while now_ns < end_ns:
            for descriptor, event in client.poll.poll(0.1):
                if descriptor == timer:
                    take_expiries(timer)
                else:
                    client.handle(descriptor, event)
            now_ns = time.monotonic_ns()
            while self.due_ns <= now_ns:
                self.begin(int(self.due_ns))
                self.due_ns += self.interval_ns

    def begin(self, due_ns: int) -> None:
        """Send the request that was due, on a free or a new connection, or queue it."""
        if self.free:
            self.send(self.free.pop(), due_ns)
        elif len(self.client.connections) < self.connections_max:
            self.send(self.client.connect(), due_ns)
        elif len(self.queue) < QUEUE_MAX:
            self.queue.append(due_ns)
        else:
            self.dropped += 1

    def send(self, connection: Connection, due_ns: int) -> None:
        """Send one request."""
        connection.intended_ns = due_ns
        if due_ns >= self.recorded_from_ns:
            self.lateness_ns.append(time.monotonic_ns() - due_ns)
        self.client.start(connection)

    def finish(self, connection: Connection) -> None:
        """Take the time of a whole answer; the connection carries the next that waits."""
        if connection.intended_ns >= self.recorded_from_ns:
            self.latencies_ns.append(time.monotonic_ns() - connection.intended_ns)
        if self.queue:
            self.send(connection, self.queue.popleft())
        else:
            self.free.append(connection)

    def see_events(self, connection: Connection, data: bytes) -> None:
        """Take the time of the first content and of every stamped chunk."""
        if connection.intended_ns < self.recorded_from_ns:
            return
        now_ns = time.monotonic_ns()
        at = data.find(STAMP_MARK)
        while at >= 0:
            begin = at + len(STAMP_MARK)
            stamp = data[begin : begin + STAMP_DIGITS]
            if len(stamp) == STAMP_DIGITS and stamp.isdigit():
                self.transits_ns.append(now_ns - int(stamp))
                if not connection.first_content_ns:
                    connection.first_content_ns = now_ns
                    self.firsts_ns.append(now_ns - connection.intended_ns)
            at = data.find(STAMP_MARK, begin)

    def figures(self) -> dict[str, object]:
        """Percentiles in microseconds, and what was not answered at the end."""
        return {
            "latency_us": percentiles_us(self.latencies_ns),
            "first_content_us": percentiles_us(self.firsts_ns),
            "transit_us": percentiles_us(self.transits_ns),
            "lateness_us": percentiles_us(self.lateness_ns),
            "unanswered": len(self.queue) + len(self.client.connections) - len(self.free),
            "dropped": self.dropped,
            "connections": len(self.client.connections),
        }
