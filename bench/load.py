"""The load process: one load as JSON on the command line, what it measured as JSON on the output.

Kinds: `closed` (as many requests or streams as the connections carry: saturation and processor
time), `open` (a fixed rate whatever the answers do: latency) and `hold` (connections kept idle or
streaming: memory). Processor time of the system under test is read here, at the edges of the very
window in which the answers are counted.
Run: python -m bench.load '{"kind": "closed", "port": 8080, ...}'
"""

import gc
import json
import sys
import time
from dataclasses import dataclass, field, fields
from typing import Any

from bench.calls import MESSAGES_PATH, chat_body, http_request, messages_body
from bench.client import Client, Connection
from bench.openloop import OpenLoop
from bench.processes import cpu_ns, steal_ns

NS_PER_S = 1_000_000_000
HOLD_TIMEOUT_S = 60.0


@dataclass
class Spec:
    """One load. Where `streams`, an answer is `chunks` events `interval_us` apart."""

    kind: str
    port: int
    path: str = "/v1/chat/completions"
    key: str = "none"
    model: str = "bench-model"
    body_bytes: int = 1024
    streams: bool = False
    chunks: int = 64
    interval_us: int = 1000
    connections: int = 64
    rate_per_s: float = 1000.0
    connections_max: int = 1024
    warm_s: float = 1.0
    measure_s: float = 3.0
    tls: bool = False
    timeout_s: float = 120.0
    pids: list[int] = field(default_factory=list)  # the system under test
    upstream_pids: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, members: dict[str, Any]) -> "Spec":
        """Build from JSON, unknown members refused."""
        unknown = members.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"unknown members: {unknown}")
        return cls(**members)


def client_of(spec: Spec) -> Client:
    """A client with the request the spec describes."""
    pace = {}
    if spec.streams:
        pace = {"bench_chunks": spec.chunks, "bench_interval_us": spec.interval_us}
        if spec.kind == "open":
            pace["bench_stamp"] = 1
    if spec.path == MESSAGES_PATH:
        body = messages_body(spec.body_bytes, spec.model, pace)
    else:
        body = chat_body(spec.body_bytes, spec.model, pace, streams=spec.streams)
    request = http_request(spec.port, spec.path, spec.key, body)
    return Client(spec.port, request, streams=spec.streams, tls=spec.tls)


def mark(spec: Spec, client: Client) -> dict[str, int]:
    """The counts and the clocks at one moment."""
    ran_ns, waited_ns = cpu_ns(spec.pids)
    upstream_ns, _ = cpu_ns(spec.upstream_pids)
    return {
        "time_ns": time.monotonic_ns(),
        "answers": client.answers,
        "events": client.events,
        "reads": client.reads,
        "cpu_ns": ran_ns,
        "waited_ns": waited_ns,
        "upstream_cpu_ns": upstream_ns,
        "load_cpu_ns": time.process_time_ns(),
        "steal_ns": steal_ns(),
    }


def window(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """What happened between two marks: counts, rates per second and shares of a core (0 to 1)."""
    passed = {name: after[name] - before[name] for name in before}
    passed_ns = passed["time_ns"]
    return {
        "window_s": passed_ns / NS_PER_S,
        "answers": passed["answers"],
        "events": passed["events"],
        "answers_per_s": passed["answers"] * NS_PER_S / passed_ns,
        "events_per_s": passed["events"] * NS_PER_S / passed_ns,
        "events_per_read": passed["events"] / max(1, passed["reads"]),
        "cpu_us_per_answer": passed["cpu_ns"] / 1000 / max(1, passed["answers"]),
        "cpu_us_per_event": passed["cpu_ns"] / 1000 / max(1, passed["events"]),
        "system_busy": passed["cpu_ns"] / passed_ns,
        "load_core_busy": (passed["upstream_cpu_ns"] + passed["load_cpu_ns"]) / passed_ns,
        "system_waited": passed["waited_ns"] / passed_ns,
        "steal": passed["steal_ns"] / passed_ns,
    }


def run_closed(spec: Spec, client: Client) -> dict[str, float]:
    """Every connection sends again as soon as it has its answer."""
    for _ in range(spec.connections):
        client.connect()
    for connection in list(client.connections.values()):
        client.start(connection)
    client.run_until(time.monotonic_ns() + int(spec.warm_s * NS_PER_S))
    before = mark(spec, client)
    client.run_until(before["time_ns"] + int(spec.measure_s * NS_PER_S))
    return window(before, mark(spec, client))


def run_open(spec: Spec, client: Client) -> dict[str, Any]:
    """Requests at a fixed rate; latencies count from the moment each was due."""
    loop = OpenLoop(client, spec.rate_per_s, spec.connections_max)
    loop.run(spec.warm_s)
    before = mark(spec, client)
    loop.record()
    loop.run(spec.measure_s)
    measured = window(before, mark(spec, client))
    return measured | loop.figures()


def run_hold(spec: Spec, client: Client) -> dict[str, Any]:
    """Open connections, one answer (or one first event) each; stay until the input closes."""
    waiting: set[Connection] = set()
    client.on_answer = waiting.discard
    client.on_events = lambda connection, _: waiting.discard(connection)
    limit_s = time.monotonic() + HOLD_TIMEOUT_S
    for _ in range(spec.connections):
        connection = client.connect()
        waiting.add(connection)
        client.start(connection)
        client.turn(0)
    while waiting:
        client.turn(0.05)
        if time.monotonic() > limit_s:
            raise TimeoutError(f"{len(waiting)} of {spec.connections} had no answer")
    print(json.dumps({"held": spec.connections}), flush=True)
    client.poll.register(sys.stdin.fileno())
    while True:
        for descriptor, event in client.poll.poll():
            if descriptor == sys.stdin.fileno():
                return {"events": client.events}
            client.handle(descriptor, event)


RUNS = {"closed": run_closed, "open": run_open, "hold": run_hold}


def main(argument: str) -> None:
    """Run one load."""
    spec = Spec.of(json.loads(argument))
    client = client_of(spec)
    gc.collect()
    gc.disable()
    figures = RUNS[spec.kind](spec, client)
    print(json.dumps(figures), flush=True)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1])
