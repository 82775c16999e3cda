"""Whoever commits in the ledger's model: one batch on its way, sent until it is answered."""

from enum import Enum

import msgspec

from .model import Store


class Fate(Enum):
    """What becomes of a batch."""

    DONE = "committed, and answered"
    FAILED = "not committed"
    UNANSWERED = "committed, but the answer is lost"


class Batch(msgspec.Struct):
    """Records on their way, and the time they were put together by the sender's clock."""

    seq: int
    records: tuple[msgspec.Struct, ...]
    built_at: int


class Sender:
    """Whoever commits: records wait in a queue while one batch is on its way, which is sent until it is answered."""

    def __init__(self, store: Store, clock: int = 0) -> None:
        self.store = store
        self.epoch = store.start()
        self.clock = clock
        self.queue: list[msgspec.Struct] = []
        self.sent: Batch | None = None
        self._seq = 0

    def send(self, fate: Fate) -> bool:
        """Try to commit what waits. Whether the store was reached."""
        if self.sent is None:
            self.prepare()
            if not self.queue:
                return False
            self._seq += 1
            self.sent = Batch(self._seq, tuple(self.queue), self.clock)
            self.queue = []
        if fate is Fate.FAILED:
            return False
        batch = self.sent
        results = self.store.commit(self.epoch, batch.seq, batch.records)
        if fate is Fate.DONE:
            self.sent = None
            for record, result in zip(batch.records, results, strict=True):
                self.learn(record, result, batch.built_at)
            self.settle_down()
        return True

    def prepare(self) -> None:
        """Add what goes into every batch."""

    def learn(self, record: msgspec.Struct, result: object, built_at: int) -> None:
        """Take note of a result."""

    def settle_down(self) -> None:
        """All results of a batch are known."""
