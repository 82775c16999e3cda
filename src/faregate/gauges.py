"""What /metrics says of a gateway: what was counted, and how things stand now; with several workers of all of them."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Literal

from .edge.door import Door
from .flow.gate import Gate
from .flow.idempotency import Runs
from .starting import Post
from .stores.journal import Journal
from .telemetry.gathering import PUBLISH_INTERVAL_S, Gathering
from .telemetry.metrics import Family, Metrics, exposition, labels_of
from .wire.server import Server

# Its kind, name, help and value, or values by label
Figure = tuple[Literal["counter", "gauge"], str, str, int | float | dict[str, int]]
OF_EACH = {"faregate_loop_lag_seconds"}  # whose sum over the workers would say nothing


class Figures:
    """The figures of a process: `metrics` and `gauges()`; of all workers, where it is one of several."""

    def __init__(self, metrics: Metrics, gauges: Callable[[], Iterator[Figure]], post: Post | None) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._label = "" if post is None else f'{{worker="{post.place}"}}'
        self._gathering = None if post is None else Gathering(post.pages, post.place)

    def exposition(self) -> bytes:
        """All of them, as Prometheus reads them."""
        if self._gathering is None:
            return exposition(self._own())
        self.publish()
        return exposition(self._gathering.all())

    def publish(self) -> None:
        """Let the other workers know of this one's, if there are others."""
        if self._gathering is not None:
            self._gathering.publish(self._own())

    async def keep_publishing(self) -> None:
        """Now and then, for as long as the process serves."""
        while self._gathering is not None:
            self.publish()
            await asyncio.sleep(PUBLISH_INTERVAL_S)

    def _own(self) -> Iterator[Family]:
        yield from self._metrics.families()
        for kind, name, text, value in self._gauges():
            if isinstance(value, dict):
                yield Family(name, text, kind, {name + label: each for label, each in value.items()})
            else:
                yield Family(name, text, kind, {name + self._label if name in OF_EACH else name: value})


def gauges(server: Server, door: Door, gate: Gate, journal: Journal, runs: Runs) -> Iterator[Figure]:
    """How a data plane stands."""
    waived = gate.ledger.waived
    yield "gauge", "faregate_connections", "Open client connections.", len(server.connections)
    yield "gauge", "faregate_in_flight", "Calls under way.", len(door.in_flight)
    ejected = {labels_of(target=name): 1 for name in gate.health.ejected}
    yield "gauge", "faregate_target_ejected", "Targets, or whole providers, that are left alone for now.", ejected
    yield "counter", "faregate_ejections", "Targets ejected since the start.", gate.health.ejections
    yield "counter", "faregate_key_lookups", "Keys looked up in the store since the start.", door.callers.lookups
    yield "gauge", "faregate_keys_unknown", "Keys that are remembered to be none.", door.callers.unknown
    yield "gauge", "faregate_loop_lag_seconds", "How late the last tick of the event loop was.", gate.deadlines.lag_s
    yield "gauge", "faregate_drained", "Calls that are read to their end without a client.", gate.unattended.drained
    yield "gauge", "faregate_holds", "Calls whose cost is held.", len(gate.ledger.slices.holds)
    yield "counter", "faregate_settlements_waived", "Answers that ended before their charge was written.", waived
    yield "gauge", "faregate_records_waiting", "Usage records not written yet.", journal.waiting
    yield "counter", "faregate_records_dropped", "Usage records given up.", journal.dropped
    yield "gauge", "faregate_idempotency_bytes", "Answers remembered under idempotency keys.", runs.bytes_kept
    yield "gauge", "faregate_bodies_bytes", "Request bodies held in memory.", server.bodies_bytes
