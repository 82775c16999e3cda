"""The measures: what is run, how often, in which order. Times in microseconds unless named."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.figures import (
    ADDED_P99,
    CHUNKS_RATIO,
    COUNT_A_CALL,
    HOLD_AND_SETTLE,
    KB,
    NGINX,
    OPEN_STREAM,
    OURS,
    READY,
    REQUESTS_RATIO,
    SAME_DIALECT,
    TRANSLATED_RATIO,
    UNCHARGED,
    Figures,
)
from bench.processes import CORES, LOAD_CORE, SYSTEM_CORE, load_command, memory_bytes, run_load, spawn, stop
from bench.systems import System, Systems, gateway_environment
from bench.verify import ROUTES, NotRelayed, first_answer_s, verify_translations

ENDLESS_CHUNKS = 1_000_000_000
CHUNK_INTERVAL_US = 1000
STREAMS_FIRST_GUESS = 24
STREAMS_MAX = 256
QUARTER, HALF, FULL = 0.25, 0.5, 1.5  # shares of our core that the load of chunks is sized for
SHARES = (0.25, 0.5, 0.75)
LATENCY_CHUNKS, LATENCY_INTERVAL_US = 10, 5000
SETTLE_S = 3.0
WAITED_MAX, STEAL_MAX = 0.05, 0.03  # shares of the window
PLAIN = {"latency_us": "answer"}
STREAMED = {"first_content_us": "first content", "transit_us": "chunk"}
HELD_AT_ONCE = (1, 8, 64, 256)
HELD_IN_ALL = 4096
COUNTED = 100_000
COUNTING_TOGETHER = (1, 2, 4)
P99_BOUND_US, P99_BOUND_COMMITS = 5000.0, 4
BODY_NAMES = {1024: "1 KB", 100 * KB: "100 KB", KB * KB: "1 MB"}


@dataclass
class Effort:
    """How long and how often; `quick` shortens everything."""

    rounds: int = 5
    measure_s: float = 3.0
    warm_s: float = 1.0
    latency_s: float = 2.5
    latency_rounds: int = 3
    connections: int = 64
    held: int = 2000
    starts: int = 5
    bodies: tuple[int, ...] = tuple(BODY_NAMES)

    @classmethod
    def quick(cls) -> "Effort":
        """For a look while working: wide spreads, no large bodies but 100 KB."""
        return cls(3, 1.0, 0.5, 1.5, 1, held=500, starts=3, bodies=(1024, 100 * KB))


class Measures:
    """Runs the measures over the systems and gathers the figures."""

    def __init__(self, systems: Systems, names: list[str], effort: Effort) -> None:
        self.systems = systems
        self.names = names
        self.effort = effort
        self.figures = Figures()
        self.failures: list[str] = []
        self.subject = OURS if OURS in names else names[0]

    def load(self, system: System, **members: Any) -> dict[str, Any]:
        """One load on a system, with the processes whose time is counted."""
        upstream_pids = self.systems.upstream.pids()
        pids = [] if system is self.systems.upstream else system.pids()
        effort = {"measure_s": self.effort.measure_s, "warm_s": self.effort.warm_s}
        watched = {"pids": pids, "upstream_pids": upstream_pids}
        return run_load(system.spec(**(effort | watched | members)))

    def in_turn(self, section: str, **members: Any) -> Iterator[dict[str, dict[str, Any]]]:
        """One round of the alternation after another: every system once, the direct path first.

        A round in which something else took the system's core, or the hypervisor took any, is run
        again, at most as often as there are rounds; how often is a figure too.
        """
        kept = repeated = 0
        while kept < self.effort.rounds:
            turn = {"direct": self.load(self.systems.upstream, **members)}
            for name in list(self.names):
                seen = self.try_load(name, **members)
                if seen is not None:
                    turn[name] = seen
            disturbed = [name for name, seen in turn.items() if is_disturbed(name, seen)]
            if disturbed and repeated < self.effort.rounds:
                repeated += 1
                continue
            kept += 1
            yield turn
        self.figures.add(section, "rounds run again, disturbed", "all", "rounds", repeated)

    def try_load(self, name: str, **members: Any) -> dict[str, Any] | None:
        """One load on a system; a system that fails under it is left out of what follows."""
        try:
            return self.load(self.systems.running[name], **members)
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            self.failures.append(f"{name} failed and was left out from there on: {error}")
            print(self.failures[-1], flush=True)
            self.names.remove(name)
            return None

    def requests(self) -> None:
        """Plain answers in a closed loop: requests per second and processor time per request."""
        section = "requests"
        add = self.figures.add
        for turn in self.in_turn(section, kind="closed", connections=self.effort.connections):
            for name, seen in turn.items():
                add(section, "requests per second", name, "1/s", seen["answers_per_s"])
                if name != "direct":
                    add(section, "processor time per request", name, "us", seen["cpu_us_per_answer"])
                self.add_shares(section, name, seen)
            for name in turn.keys() & {OURS, UNCHARGED} if NGINX in turn else ():
                ratio = turn[NGINX]["cpu_us_per_answer"] / turn[name]["cpu_us_per_answer"]
                add(section, REQUESTS_RATIO, name, "ratio", ratio)

    def chunks(self) -> None:
        """Streams of a chunk a millisecond: processor time per chunk, half busy and saturated."""
        for level, share in (("half busy", HALF), ("saturated", FULL)):
            section = f"chunks, {level}"
            streams = self.streams_for(share)
            add = self.figures.add
            add(section, "streams of 1000 chunks/s", "all", "streams", streams)
            pace = {"chunks": ENDLESS_CHUNKS, "interval_us": CHUNK_INTERVAL_US}
            load = {"kind": "closed", "streams": True, "connections": streams} | pace
            for turn in self.in_turn(section, **load):
                for name, seen in turn.items():
                    add(section, "chunks per second", name, "1/s", seen["events_per_s"])
                    if name != "direct":
                        add(section, "processor time per chunk", name, "us", seen["cpu_us_per_event"])
                    self.add_shares(section, name, seen)
                for name in turn.keys() & {OURS, UNCHARGED} if NGINX in turn else ():
                    ratio = turn[name]["cpu_us_per_event"] / turn[NGINX]["cpu_us_per_event"]
                    add(section, CHUNKS_RATIO, name, "ratio", ratio)

    def translation(self) -> None:
        """Streams of a chunk a millisecond where client and provider speak different dialects, as many of them as keep
        the core busy for a quarter of the time where both speak the same; then those in turn with these."""
        if self.subject != OURS:
            return
        try:
            verify_translations(self.systems.running[OURS])
        except (NotRelayed, OSError) as error:
            self.failures.append(f"{OURS} does not translate: {error}")
            return
        add = self.figures.add
        pace = {"chunks": ENDLESS_CHUNKS, "interval_us": CHUNK_INTERVAL_US, "connections": self.streams_for(QUARTER)}
        load = {"kind": "closed", "streams": True} | pace
        add("translation", "streams of 1000 chunks/s", "all", "streams", pace["connections"])
        for _ in range(self.effort.rounds):
            turn = {name: self.load(self.systems.running[OURS], **(load | where)) for name, where in ROUTES.items()}
            for name, seen in turn.items():
                add("translation", "processor time per chunk", name, "us", seen["cpu_us_per_event"])
                self.add_shares("translation", name, seen)
                if name != SAME_DIALECT:
                    ratio = seen["cpu_us_per_event"] / turn[SAME_DIALECT]["cpu_us_per_event"]
                    add("translation", TRANSLATED_RATIO, name, "ratio", ratio)

    def streams_for(self, share: float) -> int:
        """How many streams keep the subject's core busy for that share; more than 1 saturates it.

        Sized from the half-busy cost per chunk, which is higher than the saturated one: saturating
        needs the half more that FULL adds.
        """
        streams = STREAMS_FIRST_GUESS
        for _ in range(2):
            seen = self.load(
                self.systems.running[self.subject],
                kind="closed",
                streams=True,
                connections=streams,
                chunks=ENDLESS_CHUNKS,
                interval_us=CHUNK_INTERVAL_US,
                measure_s=1.0,
            )
            cost_us = seen["cpu_us_per_event"]
            streams = max(4, min(STREAMS_MAX, round(HALF * CHUNK_INTERVAL_US / cost_us)))
        return max(4, min(STREAMS_MAX, round(streams * share / HALF)))

    def add_shares(self, section: str, name: str, seen: dict[str, Any]) -> None:
        """How busy the cores were, and what would have disturbed the figure."""
        add = self.figures.add
        if name != "direct":
            add(section, "its core busy", name, "share", seen["system_busy"])
            add(section, "it waited for its core", name, "share", seen["system_waited"])
        add(section, "load's core busy", name, "share", seen["load_core_busy"])
        add(section, "stolen by the hypervisor", name, "share", seen["steal"])

    def latency(self) -> None:
        """What is added at a quarter, half and three quarters of the subject's saturation."""
        for streams in (False, True):
            for body_bytes in self.effort.bodies:
                self.latency_of(body_bytes, streams=streams)

    def latency_of(self, body_bytes: int, *, streams: bool) -> None:
        """One body size, with or without stream: saturation first, then the three rates."""
        what = "streamed" if streams else "plain"
        section = f"latency, {what}, {BODY_NAMES[body_bytes]}"
        members: dict[str, Any] = {"body_bytes": body_bytes, "streams": streams}
        if streams:
            members |= {"chunks": LATENCY_CHUNKS, "interval_us": LATENCY_INTERVAL_US}
        connections = self.effort.connections * (4 if streams else 1)
        system = self.systems.running[self.subject]
        bound_us = max(P99_BOUND_US, P99_BOUND_COMMITS * self.held_at_once(1)["commit_us"])
        closed = self.load(system, kind="closed", connections=connections, **members)
        saturation_per_s = closed["answers_per_s"]
        self.figures.add(section, "saturation", self.subject, "1/s", saturation_per_s)
        for _ in range(self.effort.latency_rounds):
            for share in SHARES:
                rate = {"kind": "open", "rate_per_s": saturation_per_s * share}
                self.latency_at(share, section, members | rate)
        word = next(iter((STREAMED if streams else PLAIN).values()))
        added = self.figures.find(section, f"added: {word}, p99 at 50%", self.subject)
        for sample in added.samples if added is not None else ():
            self.figures.add(section, ADDED_P99, self.subject, "ratio", sample / bound_us)

    def latency_at(self, share: float, section: str, members: dict[str, Any]) -> None:
        """One rate: the direct path, then every system, each less the direct path."""
        names = STREAMED if members["streams"] else PLAIN
        short = {"measure_s": self.effort.latency_s, "warm_s": 0.5}
        direct = self.load(self.systems.upstream, **(members | short))
        add = self.figures.add
        for measured, word in names.items():
            for percentile in ("p50", "p99"):
                label = f"{word}, {percentile} at {share:.0%}"
                add(section, label, "direct", "us", direct[measured][percentile])
        for name in [each for each in self.names if each != UNCHARGED]:
            seen = self.try_load(name, **(members | short))
            if seen is None:
                continue
            for measured, word in names.items():
                for percentile in ("p50", "p99"):
                    label = f"added: {word}, {percentile} at {share:.0%}"
                    added = seen[measured][percentile] - direct[measured][percentile]
                    add(section, label, name, "us", added)
            add(section, f"its core busy at {share:.0%}", name, "share", seen["system_busy"])
            add(section, f"it waited for its core at {share:.0%}", name, "share", seen["system_waited"])
            add(section, f"load's core busy at {share:.0%}", name, "share", seen["load_core_busy"])
            late = seen["dropped"] + max(0, seen["unanswered"] - seen["connections"])
            if late:
                add(section, f"left waiting at {share:.0%}", name, "requests", late)

    def holds(self) -> None:
        """What holding for calls and settling them costs alone, so many at once; and what a bare commit takes."""
        for calls in HELD_AT_ONCE:
            section = f"holds, {calls} at once"
            for _ in range(self.effort.rounds):
                seen = self.held_at_once(calls)
                self.figures.add(section, HOLD_AND_SETTLE, OURS, "us", seen["two_batches_us"])
                self.figures.add(section, f"{HOLD_AND_SETTLE}, both in one batch", OURS, "us", seen["one_batch_us"])
                self.figures.add(section, "a bare commit", "SQLite, FULL", "us", seen["commit_us"])

    def held_at_once(self, calls: int) -> dict[str, float]:
        """One run of bench.holds, on the core of the system measured."""
        rounds = max(8, HELD_IN_ALL // calls)
        command = [sys.executable, "-m", "bench.holds", str(calls), str(rounds)]
        process = spawn(command, SYSTEM_CORE, env=gateway_environment(), stdout=subprocess.PIPE)
        said, _ = process.communicate(timeout=120.0)
        return dict(json.loads(said))

    def limits(self) -> None:
        """What counting a call on every limit at once costs: in one process alone, and in several that share
        them."""
        add = self.figures.add
        for _ in range(self.effort.rounds):
            alone = counted(1, SYSTEM_CORE)
            add("limits", COUNT_A_CALL, OURS, "us", alone[0]["cpu_us"])
            for workers in COUNTING_TOGETHER:
                found = counted(workers, None)
                name = f"the same under locks, {workers} of them"
                add("limits", name, OURS, "us", statistics.mean(each["cpu_us"] for each in found))
                add("limits", f"{name}, calls of all", OURS, "1/s", sum(1e6 / each["wall_us"] for each in found))

    def memory(self) -> None:
        """At rest, per idle connection and per open stream; each from a new start."""
        per_stream = {"streams": True, "chunks": 3600, "interval_us": 1_000_000}
        for name in self.names:
            system = self.systems.start(name)
            time.sleep(1.0)
            resting = memory_bytes(system.pids())
            for kind, label in (("private", "private memory"), ("pss", "proportional memory")):
                value = resting[kind] / KB / KB
                self.figures.add("memory", f"{label} at rest", name, "MB", value)
            self.memory_per(name, "private memory per idle connection", {})
            self.memory_per(name, OPEN_STREAM, per_stream)
            if name in (OURS, NGINX):
                self.memory_per(name, f"{OPEN_STREAM}, TLS", per_stream, tls=True)
            self.systems.start(name)

    def memory_per(self, name: str, label: str, members: dict[str, Any], *, tls: bool = False) -> None:
        """Hold connections on a system that has served before; memory over their number, in KB."""
        few = {"kind": "hold", "connections": 32}
        try:
            system = self.systems.start(name, tls=tls)
            with held(system.spec(**(few | members))):
                time.sleep(0.2)
            time.sleep(0.5)
            before = memory_bytes(system.pids())["private"]
            with held(system.spec(**(few | members | {"connections": self.effort.held}))):
                time.sleep(SETTLE_S)
                after = memory_bytes(system.pids())["private"]
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            self.failures.append(f"{label}: {name} was not measured: {error}")
            print(self.failures[-1], flush=True)
            return
        self.figures.add("memory", label, name, "KB", (after - before) / KB / self.effort.held)

    def startup(self) -> None:
        """From the start of the process to ready and to the first answer; the first start is not counted.

        Ready is the gateway's line of JSON; of the others, that the port accepts.
        """
        for name in self.names:
            self.systems.start(name)
            for _ in range(self.effort.starts):
                system = self.systems.start(name)
                answer_s = first_answer_s(system, 60.0)
                self.figures.add("start-up", READY, name, "s", system.ready_s)
                self.figures.add("start-up", "to the first answer", name, "s", answer_s)


def counted(workers: int, core: int | None) -> list[dict[str, float]]:
    """One run of bench.limits: on a core alone, or several at once on all cores in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-limits-") as folder:
        command = [sys.executable, "-m", "bench.limits", str(COUNTED), folder, *(["shared"] if core is None else [])]
        pipes: dict[str, Any] = {"env": gateway_environment(), "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        cores = CORES if core is None else [core]
        processes = [spawn(command, cores[number % len(cores)], **pipes) for number in range(workers)]
        if core is None:
            for process in processes:
                assert process.stdout is not None
                process.stdout.readline()
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(b"\n")
                process.stdin.flush()
        return [dict(json.loads(process.communicate(timeout=120.0)[0])) for process in processes]


def is_disturbed(name: str, seen: dict[str, Any]) -> bool:
    """Whether the system waited for its core, or cores were stolen, more than figures bear. Of ours only the latter
    counts: its threads wait for each other, which is its own affair."""
    return seen["steal"] > STEAL_MAX or (name not in (OURS, UNCHARGED) and seen["system_waited"] > WAITED_MAX)


@contextmanager
def held(spec: dict[str, Any]) -> Iterator[None]:
    """Connections held open by a load process for as long as the context lasts."""
    process = spawn(load_command(spec), LOAD_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise RuntimeError(f"the connections could not be held: {spec}")
        yield
        process.stdin.close()
        process.wait(30.0)
    finally:
        if process.poll() is None:
            stop(process)
        process.stdin.close()
        process.stdout.close()
