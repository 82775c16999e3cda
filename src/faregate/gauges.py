"""What /metrics says of a data plane besides what is counted: how things stand now."""

from collections.abc import Iterator

from .edge.door import Door
from .flow.gate import Gate
from .flow.idempotency import Runs
from .stores.journal import Journal
from .wire.server import Server


def gauges(server: Server, door: Door, gate: Gate, journal: Journal, runs: Runs) -> Iterator[tuple[str, str, float]]:
    """Name, help and value of each."""
    yield "faregate_connections", "Open client connections.", len(server.connections)
    yield "faregate_in_flight", "Calls under way.", len(door.in_flight)
    yield "faregate_key_lookups", "Keys looked up in the store since the start.", door.callers.lookups
    yield "faregate_keys_unknown", "Keys that are remembered to be none.", door.callers.unknown
    yield "faregate_loop_lag_seconds", "How late the last tick of the event loop was.", gate.deadlines.lag_s
    yield "faregate_drained", "Calls that are read to their end without a client.", gate.unattended.drained
    yield "faregate_holds", "Calls whose cost is held.", len(gate.ledger.slices.holds)
    yield "faregate_settlements_waived", "Answers that ended before their charge was written.", gate.ledger.waived
    yield "faregate_records_waiting", "Usage records not written yet.", journal.waiting
    yield "faregate_records_dropped", "Usage records given up.", journal.dropped
    yield "faregate_idempotency_bytes", "Answers remembered under idempotency keys.", runs.bytes_kept
    yield "faregate_bodies_bytes", "Request bodies held in memory.", server.bodies_bytes
