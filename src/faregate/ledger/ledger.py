"""The ledger as a process uses it: holds taken in memory, one batch at a time on its way to the disk (money.md R3, R9).

Theory of operation. A record that is put into the queue sends a batch at the end of the loop's turn, unless one is on
its way: then the next fills meanwhile, so that a commit serves one request when there is one and hundreds when there
are hundreds. The hold of a whole answer waits for its settlement, OPEN_DELAY_S at most: until then nothing of the
answer has left, and where a provider is quick one commit does for two (R3). A batch keeps its number until it is
answered, whatever went wrong: sent again, it changes nothing.

Each process is an epoch (epochs.py). What another process lacks and this one does not use is asked for by a notice
(notices.py): it goes back, and the answer leaves when the batch that says so is on the disk.
"""

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path

from ..core.call import UsageRecord
from ..core.errors import NoFunds, Overloaded
from ..stores.database import Database, StoreUnavailable, Transaction, Writer, named_queries
from ..wire.strand import Signal
from .checkpoints import Checkpoints
from .commit import NEVER, commit
from .epochs import Epoch
from .holds import Hold
from .notices import Notices
from .receipts import Receipts, Unstorable
from .records import Result, Settle, Settled
from .sent import Sent, forget
from .slices import Slices
from .verify import verify_recent

TICK_S = 0.25
REAP_INTERVAL_S = 5.0
VERIFY_INTERVAL_S = 60.0
RETRY_INTERVAL_S = 0.05
OPEN_DELAY_S = 0.02
OPEN_PATIENCE_S = 1.0
SETTLE_PATIENCE_S = 2.0
STALL_PATIENCE_S = 10.0

_LOST = "The gateway lost its place in the ledger; try again."
_REFUSED = "The ledger cannot be written; try again in a moment."

Report = Callable[[str, str], None]


class Ledger:
    """Holds and settlements of this process. Lives on the running loop, between `open` and `close`.

    `healthy` is false while the disk refuses; `waived` counts answers that left before their settlement was on the
    disk, because that took longer than SETTLE_PATIENCE_S. With `relaxed` no answer waits for it (money.md R4, O2).
    `blocked` are the groups that broke an invariant: nothing is held of them any longer. `report(level, event)` writes
    a line of the log; `on_broken` ends the process where the ledger's rules are broken.
    """

    def __init__(
        self,
        database: Database,
        run_folder: Path,
        report: Report,
        *,
        relaxed: bool = False,
        on_broken: Callable[[], None] = os.abort,
    ) -> None:
        self.healthy = True
        self.waived = 0
        self.blocked: frozenset[int] = frozenset()
        self._database = database
        self._report = report
        self._relaxed = relaxed
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._epoch = Epoch(database, run_folder, report)
        self._notices = Notices(run_folder, self._epoch.node, self._recalled, self._bereft)
        self._answers: list[Callable[[], None]] = []  # to recalls, with the next batch
        self._seq = 0
        self._sent: Sent | None = None
        self._armed = False
        self._is_over = False
        self._reaped_at = self._loop.time()
        self._verified_at = self._loop.time()
        self._reaping: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(0, lambda: None)
        self._opening = self._loop.call_later(0, lambda: None)
        self._receipts = Receipts()
        self._calls: dict[bytes, UsageRecord] = {}  # settled, for the next batch
        self._awaited: dict[Hold, tuple[Signal[None], float, bool]] = {}  # until when, whether it is waived then
        self.slices = Slices(self._loop.time, time.time, self._recall, self._filled)
        self._checkpoints = Checkpoints(self.slices, self._loop.time)

    async def open(self) -> None:
        """Begin an epoch; what dead processes left is reaped first. StoreUnavailable."""
        await self._epoch.begin()
        try:
            self._notices.open()
        except OSError as error:
            self._report("warning", f"recalls_unheard: {error.strerror}: what is not used here may come back late")
        self._timer = self._loop.call_later(TICK_S, self._tick)

    @property
    def epoch(self) -> int:
        """The number of this process's epoch: it has not ended for as long as the process lives."""
        return self._epoch.number

    async def close(self) -> bool:
        """Give back what is not used and end the epoch; False where the disk refuses: then the next process reaps."""
        deadline = self._loop.time() + SETTLE_PATIENCE_S
        while True:
            self.slices.give_back(retire=True)
            self._send()
            if (self._sent is None and not self.slices.queue) or self._loop.time() > deadline:
                break
            await asyncio.sleep(0.002)
        is_clean = self._sent is None and not self.slices.holds
        self._is_over = True
        self._timer.cancel()
        self._opening.cancel()
        self._notices.close()
        if is_clean:
            try:
                await self._epoch.end()
            except StoreUnavailable:
                is_clean = False
        self._epoch.close()
        return is_clean

    # Holds

    async def wait_for(self, hold: Hold) -> None:
        """Have a hold that `slices.reserve` could not take at once. NoFunds; Overloaded while the disk refuses."""
        if self.slices.reserve(hold):
            return
        self.slices.claim(hold)
        try:
            await self._news(hold, OPEN_PATIENCE_S * 2)
        except BaseException:
            self.slices.withdraw(hold)
            self.slices.settle(hold, 0)
            raise
        if not hold.legs:
            raise NoFunds

    async def opened(self, hold: Hold) -> None:
        """Wait until the hold is on the disk: before that not a byte of the answer may leave (O1). Overloaded where it
        does not come to that, or the hold's slices were lost."""
        if not hold.is_open and not hold.is_lost:
            await self._news(hold, OPEN_PATIENCE_S)
        if hold.is_lost:
            raise Overloaded(_LOST, retry_after_s=1.0)

    def settlement(self, hold: Hold) -> Signal[None] | None:
        """What to wait for before the end of an answer leaves, again and again until it is None: then the settlement is
        on the disk (O2). Overloaded where the hold's slices were lost, or the hold is not on the disk after all that
        time: then nothing of the answer may leave, and nothing is charged, unless the disk only stalls, and that long.
        """
        if not (hold.is_settled or hold.is_waived or (self._relaxed and hold.is_open)):
            return self._news(hold, SETTLE_PATIENCE_S, may_be_waived=True)
        if hold.is_open and not hold.is_lost:
            return None
        if hold.is_settled or hold.is_lost:
            raise Overloaded(_LOST, retry_after_s=1.0)
        sent = self._sent
        if sent is None or not sent.is_under_way or not sent.concerns(hold.reservation):
            self._forgo(hold)
        elif self._loop.time() - sent.built_at < STALL_PATIENCE_S:
            return self._news(hold, 0.0, may_be_waived=True)  # it may be there in a moment, and cannot be called back
        raise Overloaded(_REFUSED, retry_after_s=1.0)

    def _forgo(self, hold: Hold) -> None:
        if self._sent is not None:
            forget(hold.reservation, self._sent.records, self._sent.calls)
        forget(hold.reservation, self.slices.queue, self._calls)
        self.slices.learn(Settle(hold.reservation, 0), Settled(False), 0.0)

    def _news(self, hold: Hold, patience_s: float, *, may_be_waived: bool = False) -> Signal[None]:
        """The next news of a hold, for one who waits for it; where the patience is over, that fails or is waived."""
        signal: Signal[None] = Signal()
        hold.heard = functools.partial(signal.set, None)
        self._awaited[hold] = (signal, self._loop.time() + patience_s, may_be_waived)
        return signal

    async def free_nano(self, groups: Sequence[int]) -> int:
        """What could be held for now: free in the ledger or in our slices; of several groups that of the poorest."""
        query = named_queries("ledger")["usable_accounts"]

        def work(reading: Transaction) -> list[int]:
            return [sum(row[1] for row in reading.all(query, (group, time.time(), NEVER))) for group in groups]

        free = await self._database.read(work)
        return min(nano + self.slices.free(group) for group, nano in zip(groups, free, strict=True))

    def watch(self, hold: Hold, cost_nano: Callable[[], int], call: UsageRecord) -> None:
        """Save what a stream has cost so far, now and then, until it is settled (R6)."""
        if hold.cost is None:
            self._checkpoints.watch(hold, cost_nano, call)

    def settle(self, hold: Hold, cost_nano: int, call: UsageRecord) -> None:
        """The final cost of what was held for; the second time does nothing. The call's record is written with it, as
        it is at the end of this turn of the loop."""
        self._checkpoints.forget(hold)
        if hold.cost is None and hold.legs and not hold.is_lost:
            call.is_charged = True
            self._calls[hold.reservation] = call
        self.slices.settle(hold, cost_nano)

    def find_call(self, reservation: bytes) -> UsageRecord | None:
        """The record of a settled call, until it is known to be on the disk."""
        found = self._calls.get(reservation)
        return found if found is not None or self._sent is None else self._sent.calls.get(reservation)

    # Batches

    def _filled(self, may_wait: bool) -> None:
        if may_wait:
            self._opening = self._loop.call_later(OPEN_DELAY_S, self._open_now)
        elif self._sent is None and not self._armed:
            self._armed = True
            self._loop.call_soon(self._send)

    def _open_now(self) -> None:
        """Holds have waited long enough for their settlements."""
        if self.slices.queue:
            self.slices.is_due = True
            self._filled(False)

    def _send(self) -> None:
        self._armed = False
        if self._sent is not None or self._is_over:
            return
        slices = self.slices
        slices.tend()
        if not slices.queue:
            return
        records = slices.take_queue()
        self._opening.cancel()
        calls, self._calls = self._calls, {}
        answers, self._answers = self._answers, []
        self._seq += 1
        self._sent = Sent(self._seq, records, calls, self._loop.time(), answers)
        self._submit()

    def _submit(self) -> None:
        sent = self._sent
        if sent is None or self._is_over:
            return
        epoch, is_first, sent.is_first = self._epoch.number, sent.is_first, False
        sent.is_under_way = True
        receipts = self._receipts

        def work(writing: Transaction) -> list[Result]:
            return commit(
                writing,
                epoch,
                sent.seq,
                sent.records,
                time.time(),
                is_first=is_first,
                receipts=receipts,
                calls=sent.calls,
                singly=sent.singly,
            )

        def job(writer: Writer) -> list[Result]:
            receipts.begin()
            results = writer.transact(work)
            receipts.committed()
            return results

        try:
            future = self._database.submit(job)
        except StoreUnavailable as closed:
            self._refused(closed)
            return
        future.add_done_callback(self._done)

    def _done(self, future: "Future[list[Result]]") -> None:
        """On the writing thread: the loop may be gone by now."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answered, future)

    def _answered(self, future: "Future[list[Result]]") -> None:
        error = future.exception()
        if isinstance(error, StoreUnavailable):
            return self._refused(error)
        if isinstance(error, Unstorable) and self._sent is not None and not self._sent.singly:
            self._report("error", f"usage_record_refused: {error}")
            self._sent.singly = True
            return self._submit()
        if error is not None:
            # A batch that breaks a rule would do so for ever. What it held is safe: the next process reaps it.
            self._report("error", f"ledger_broken: {type(error).__name__}: {error}")
            return self._on_broken()
        sent, self._sent = self._sent, None
        assert sent is not None
        self.healthy = True
        for answer in sent.answers:
            answer()
        slices = self.slices
        try:
            for record, result in zip(sent.records, future.result(), strict=True):
                slices.learn(record, result, sent.built_at)
            slices.settle_down()
        finally:
            if slices.is_due:
                self._send()

    def _refused(self, error: StoreUnavailable) -> None:
        """The disk takes nothing just now: the same batch again, in a moment."""
        if self.healthy:
            self._report("error", f"ledger_refused: {error}")
        self.healthy = False
        if self._sent is not None:
            self._sent.is_under_way = False
        self._loop.call_later(RETRY_INTERVAL_S, self._submit)

    @property
    def is_failing(self) -> bool:
        """Whether a batch is on its way for so long that no new call should be begun: it could wait no longer for its
        hold. The disk refuses or stalls, or another process was stopped while it had the turn to write."""
        return self._sent is not None and self._loop.time() - self._sent.built_at > OPEN_PATIENCE_S

    # Recalls

    def _recall(self, groups: Sequence[int]) -> bool:
        """Ask the other processes for what they do not use; whether there are any."""
        return self._notices.recall(groups, functools.partial(self.slices.ask_again, groups))

    def _recalled(self, groups: Collection[int], answer: Callable[[], None]) -> None:
        """Another process asks for what we do not use."""
        self.slices.give_back(groups)
        if self.slices.is_due:
            self._answers.append(answer)
        elif self._sent is not None:  # what comes back with it may be of those groups
            self._sent.answers.append(answer)
        else:
            answer()

    def _bereft(self, done: Callable[[], None]) -> None:
        """Another process has died: what it left is free once it is reaped."""
        self._start_reaping().add_done_callback(lambda _: done())

    # Now and then

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._checkpoints.save()
        self._send()
        self._end_patience(now)
        if self.is_failing and self.healthy and self._sent is not None and not self._sent.is_reported:
            self._sent.is_reported = True
            self._report("error", "ledger_held_up: the disk stalls, or another process has the turn to write")
        if now - self._reaped_at >= REAP_INTERVAL_S and self.healthy:
            self._start_reaping()
        if now - self._verified_at >= VERIFY_INTERVAL_S and self.healthy:
            self._verified_at = now
            self._verifying = asyncio.ensure_future(self._verify_again())

    def _end_patience(self, now: float) -> None:
        for hold, (signal, until, may_be_waived) in list(self._awaited.items()):
            if signal.is_set:
                del self._awaited[hold]
            elif now > until and may_be_waived:
                self.waived += hold.is_open
                hold.is_waived = True
                signal.set(None)
            elif now > until:
                signal.fail(Overloaded("The ledger does not answer; try again in a moment.", retry_after_s=1.0))

    def _start_reaping(self) -> "asyncio.Task[None]":
        if self._reaping is None or self._reaping.done():
            self._reaped_at = self._loop.time()
            self._reaping = asyncio.ensure_future(self._reap_again())
        return self._reaping

    async def _reap_again(self) -> None:
        try:
            await self._epoch.reap()
        except Exception as error:
            self._report("error", f"reaper_failed: {type(error).__name__}")

    async def _verify_again(self) -> None:
        """Look whether the books are in order; an account that is not is not spent from any longer."""
        since = (int((time.time() - 2 * VERIFY_INTERVAL_S) * 1000)).to_bytes(6, "big")
        try:
            found = await self._database.read(lambda reading: verify_recent(reading, since))
        except Exception as error:
            self._report("error", f"verify_failed: {type(error).__name__}")
            return
        for account in found.keys() - self.blocked:
            finding = found[account]
            message = f"ledger_out_of_order: {finding.invariant} {finding.subject}: {finding.message}"
            self._report("error", message)
        self.blocked |= found.keys()
