"""Runs under idempotency keys without sockets: rows in memory, clients and an upstream that are driven by hand."""

from faregate.core.call import UsageRecord
from faregate.core.ports import Source
from faregate.flow.idempotency import Runs
from faregate.flow.keyed_run import Follower, Run
from faregate.flow.unattended import Unattended
from faregate.stores.idempotency import Claim, EarlierUse, KeptAnswer

REQUEST_BYTES = 100
END = b"\n\n"


class Keys:
    """The rows, in memory; where it `stores`, the answers too."""

    stores = False

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Claim] = {}
        self.ended: set[str] = set()
        self.answers: dict[str, KeptAnswer] = {}

    async def claim(self, claim: Claim) -> EarlierUse | None:
        row = self.rows.setdefault((claim.project_id, claim.key), claim)
        if row is claim:
            return None
        is_running = row.request_id not in self.ended
        answer = self.answers.get(row.request_id) if self.stores else None
        return EarlierUse(row.fingerprint, row.request_id, is_running, answer)

    def end(self, claim: Claim, answer: KeptAnswer | None = None) -> None:
        self.ended.add(claim.request_id)
        if answer is not None:
            self.answers[claim.request_id] = answer

    def free(self, claim: Claim) -> None:
        del self.rows[claim.project_id, claim.key]


class Client:
    """A client's response: it may be slow, and takes down what it is given."""

    def __init__(self) -> None:
        self.source: Source | None = None
        self.status = 0
        self.finished = False
        self.bytes_out = 0
        self.body = b""
        self.head = b""
        self.trailers = b""
        self.is_slow = False

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        self.start(status, headers)
        self.finish(body)

    def start(self, status: int, headers: bytes) -> None:
        self.status, self.head = status, headers

    def write(self, data: bytes) -> None:
        assert not self.finished
        self.body += data
        if self.is_slow and self.source is not None:
            self.source.pause_reading()

    def finish(self, data: bytes = b"", trailers: bytes = b"") -> None:
        self.body += data
        self.finished = True
        self.trailers = trailers

    def cancel(self, error: Exception) -> None: ...

    def go_on(self) -> None:
        if self.source is not None:
            self.source.resume_reading()


class Upstream:
    """A Source that knows whether it was told to wait."""

    is_paused = False

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False


class World:
    """Runs, and a clock that a test moves on."""

    def __init__(self, bytes_max: int = 1_000_000) -> None:
        self.now = 1_800_000_000.0
        self.keys = Keys()
        self.count = 0
        self.runs = Runs(
            self.keys,  # type: ignore[arg-type]
            Unattended(drained_calls_max=0, requests_bytes_max=10 * REQUEST_BYTES),
            bytes_max=bytes_max,
            longest_request_s=600.0,
            epoch=1,
            clock=lambda: self.now,
        )

    async def begin(self, key: str) -> Run:
        self.count += 1
        record = UsageRecord(id=f"request-{self.count}", received_at=self.now, bytes_in=REQUEST_BYTES)
        run = self.runs.begin("project", key, b"same", record)
        await self.runs.claim(run)
        record.attempts = 1
        return run

    def find(self, key: str, fingerprint: bytes = b"same") -> Run | None:
        return self.runs.find("project", key, fingerprint)

    async def whole(self, key: str, body: bytes, status: int = 200) -> Run:
        run = await self.begin(key)
        run.send(status, b"", body)
        self.runs.over(run)
        return run


def is_cut(follower: Follower) -> bool:
    return follower.ended._error is not None
