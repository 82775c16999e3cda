"""A seeded run of the ledger's model: processes, an office and every fault that we know of, checked after each step.

`play(seed)` draws everything from the seed: the same seed, steps, store and mutant are the same run, and a Violation
names them. Faults: kill -9 (also with a batch still on its way to the store), a pause longer than any lease, a store
that does not commit or whose answer is lost, upstreams that go beyond the hold or count less than was counted here,
clocks of the processes that run wrong or stand still.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from .model import TTL, LeaseRow, MakeStore, Mutant, Store, Violation
from .model_checks import Auditor
from .model_gateway import Held, Job, Process, Recall, Request
from .model_office import Office
from .model_sender import Fate
from .model_store import ModelStore

STEPS = 400
PERIOD = 150  # ticks of a budget's period
ROUNDS_MAX = 100  # of batches until all that lives has come to its end
CLOCK_ERROR = 0.05  # of a process's clock, each way
FATES = (Fate.DONE,) * 8 + (Fate.FAILED, Fate.UNANSWERED)
# Keys by payer and project; whether a key has a budget of its own
KEYS = (
    ("cust:A", "p1", "k1"),
    ("cust:A", "p1", ""),
    ("cust:A", "p2", "k2"),
    ("cust:A", "p2", ""),
    ("cust:B", "", ""),
    ("cust:B", "", "k3"),
)
MakeProcess = Callable[[Store, random.Random, Recall, Callable[[], int]], Process]  # the last is the store's clock


def play(
    seed: int,
    *,
    steps: int = STEPS,
    make_store: MakeStore | None = None,
    make_process: MakeProcess | None = None,
    mutant: Mutant | None = None,
    frozen: bool = False,
) -> Counter[str]:
    """One run, from its seed to the checks at its end. Returns what happened in it; Violation, also for whatever a
    store or a process raises."""
    run = Run(seed, steps, make_store or partial(ModelStore, mutant=mutant), make_process, mutant, frozen)
    try:
        return run.play()
    except Exception as error:
        how = f"seed {seed}, {steps} steps, step {run.step}, frozen={frozen}, mutant={mutant and mutant.name}"
        what = str(error) if isinstance(error, Violation) else repr(error)
        raise Violation(f"{how}: {what}") from error


class Ghost(msgspec.Struct):
    """A batch that was on its way when its process died, and arrives later."""

    at: int
    epoch: int
    seq: int
    records: Sequence[msgspec.Struct]


class Run:
    """The world of one seed."""

    def __init__(
        self,
        seed: int,
        steps: int,
        make_store: MakeStore,
        make_process: MakeProcess | None,
        mutant: Mutant | None,
        frozen: bool,
    ) -> None:
        self.dice = random.Random(seed)
        self.now = 0
        self.step = 0
        self.steps = steps
        self.frozen = frozen
        self.mutant = mutant
        self.make_process = make_process
        self.tally: Counter[str] = Counter()
        self.store = make_store(lambda: self.now)
        self.auditor = Auditor(self.store)
        self.office = Office(self.store, self.dice, partial(self._recall, None), steps // PERIOD + 1)
        self.office.send(Fate.DONE)
        self.requests: list[Request] = []
        self.jobs: list[Job] = []
        self.ghosts: list[Ghost] = []
        self.dead: set[int] = set()
        self.down_until = 0
        self.changed = True
        self.leases: list[LeaseRow] = []
        self.durable: set[str] = set()  # reservations
        self.named = 0
        self.processes = [self._start() for _ in range(self.dice.choice((1, 2, 3, 3, 4)))]

    def _start(self) -> Process:
        if self.make_process is not None:
            return self.make_process(self.store, self.dice, self._recall, lambda: self.now)
        return Process(self.store, self.dice, self._recall, self.mutant)

    def _name(self, kind: str) -> str:
        self.named += 1
        return f"{kind}:{self.named}"

    # The run

    def play(self) -> Counter[str]:
        events, weights = zip(*self.events(), strict=True)
        for step in range(self.steps):
            self.step = step
            self.now += 1
            for process in self.processes:
                self._tick(process)
            process = self.dice.choice(self.processes)
            event = self.dice.choices(events, weights)[0]
            event(process)
            self._check(process)
            self._deliver_ghosts(self.now)
            self._check(process)
        self._finish()
        return self.tally

    def events(self) -> tuple[tuple[Callable[[Process], None], float], ...]:
        """What can happen in a step, to one process, and how often."""
        return (
            (self._request, 28),
            (self._output, 24),
            (self._end_request, 14),
            (self._commit, 28),
            (self._kill, 1.5),
            (self._pause, 3),
            (self._outage, 0.5),
            (self._jump, 1.2),
            (self._early_return, 1.5),
            (self._begin_job, 2),
            (self._end_job, 3),
            (self._reap, 7),
            (self._office, 6),
            (self._post, 6),
        )

    def _tick(self, process: Process) -> None:
        if process.paused:
            process.paused -= 1
            if not process.paused:
                for names, retire in process.mail:
                    process.give_back(names, retire)
                process.mail.clear()
        elif not self.frozen:
            chance = self.dice.random()
            process.clock += 1 + (chance < CLOCK_ERROR) - (chance > 1 - CLOCK_ERROR)

    def _check(self, process: Process) -> None:
        """What is committed is read only when it may have changed; what a process believes changes with every step."""
        if self.changed:
            self.auditor.check(self.now)
            self.leases = list(self.store.leases())
            self.durable = set(self.store.reservations())
            self.changed = False
        process.check(self.leases)
        for held in process.held.values():
            if held.request.delivered and held.request.id not in self.durable:
                raise Violation(f"O1: output without a durable hold: {held.request.id}")

    # Requests

    def _new(self, kind: type[Request], name: str) -> Request:
        payer, project, key = self.dice.choice(KEYS)
        period = self.step // PERIOD
        budgets = [f"budget:{scope}:{period}" for scope in (f"project:{project}", f"key:{key}") if scope[-1] != ":"]
        return kind(self._name(name), payer, tuple(budgets), self.dice.randrange(1, 60))

    def _request(self, process: Process) -> None:
        if process.paused:
            return
        request = self._new(Request, "request")
        request.beyond = self.dice.randrange(1, 250) if self.dice.random() < 0.2 else 0
        self.requests.append(request)
        process.admit(request)

    def _live(self, process: Process) -> Held | None:
        live = [held for held in process.held.values() if held.settling is None]
        return self.dice.choice(live) if live and not process.paused else None

    def _output(self, process: Process) -> None:
        held = self._live(process)
        if held:
            left = held.request.hold + held.request.beyond - held.request.produced
            process.produce(held, min(left, self.dice.randrange(50)))

    def _end_request(self, process: Process) -> None:
        held = self._live(process)
        if held:
            self._end(process, held)

    def _end(self, process: Process, held: Held) -> None:
        """The upstream's own count is now and then a little lower than what was counted as it came."""
        lower = self.dice.randrange(1, 5) if self.dice.random() < 0.05 else 0
        process.finish(held, max(0, held.request.produced - lower))

    def _begin_job(self, process: Process) -> None:
        if not process.paused:
            job = self._new(Job, "job")
            assert isinstance(job, Job)
            job.deadline = self.now + self.dice.choice((20, 80, 200, self.steps + 20 * TTL))
            self.jobs.append(job)
            process.begin(job)

    def _end_job(self, process: Process) -> None:
        """Any process may find a job ended, and several may."""
        jobs = [job for job in self.jobs if job.state == "running" and job.id not in process.jobs]
        if jobs and not process.paused:
            job = self.dice.choice(jobs)
            if job.used is None:
                job.used = self.dice.randrange(job.hold + 1) + (50 if self.dice.random() < 0.1 else 0)
            process.end(job)

    # Processes

    def _commit(self, process: Process) -> None:
        if not process.paused:
            self.changed |= process.send(self._fate())

    def _fate(self) -> Fate:
        return Fate.FAILED if self.now < self.down_until else self.dice.choice(FATES)

    def _outage(self, _: Process) -> None:
        """The store answers nobody; a long one outlasts every lease."""
        self.tally["outages"] += 1
        self.down_until = self.now + self.dice.randrange(5, 60)

    def _kill(self, process: Process) -> None:
        self.tally["kills"] += 1
        process.crash()
        if process.sent is not None and self.dice.random() < 0.4:
            at = self.now + self.dice.randrange(60)
            self.ghosts.append(Ghost(at, process.epoch, process.sent.seq, process.sent.records))
        self.dead.add(process.epoch)
        self.processes[self.processes.index(process)] = self._start()

    def _deliver_ghosts(self, until: int) -> None:
        if until < self.down_until:
            return
        for ghost in [ghost for ghost in self.ghosts if ghost.at <= until]:
            self.ghosts.remove(ghost)
            self.store.commit(ghost.epoch, ghost.seq, ghost.records)
            self.tally["ghosts"] += 1
            self.changed = True

    def _pause(self, process: Process) -> None:
        self.tally["pauses"] += 1
        process.paused = self.dice.choice((5, 20, 50, 50, 90))

    def _jump(self, process: Process) -> None:
        """The store's clock is set: back, or so far ahead that all leases are past their end though the processes live
        (and a reaper comes first)."""
        self.tally["clock jumps"] += 1
        ahead = self.dice.choice((-TTL, 2 * TTL))
        self.now = max(0, self.now + ahead)
        if ahead > 0:
            self._reap(process)

    def _early_return(self, process: Process) -> None:
        if not process.paused:
            process.give_back()

    def _reap(self, _: Process) -> None:
        """By time alone, or also what is known to be dead."""
        if self.now < self.down_until:
            return
        known = self.dice.random() < 0.5
        self.store.reap(self.now, frozenset(self.dead) if known else frozenset())
        if known:
            self.dead.clear()
        self.changed = True
        self.auditor.check_reaped(self.now)

    def _recall(self, asking: Process | None, names: tuple[str, ...], retire: bool = False) -> None:
        for process in self.processes:
            if process is not asking and process.paused:
                process.mail.append((names, retire))
            elif process is not asking:
                process.give_back(names, retire)

    # The office

    def _office(self, _: Process) -> None:
        self.changed |= self.office.send(self._fate())

    def _post(self, _: Process) -> None:
        self.office.post(self.now, self.step // PERIOD, self.requests)

    # The end

    def _finish(self) -> None:
        """What lives comes to its end, then everything is left to run out; no fault any more."""
        self._deliver_ghosts(2**62)
        for process in self.processes:
            process.paused = 0
        for _ in range(ROUNDS_MAX):
            for process in self.processes:
                for held in [held for held in process.held.values() if held.settling is None]:
                    self._end(process, held)
                process.send(Fate.DONE)
                self._check_now(process)
            if not any(process.waiting or process.held or process.jobs for process in self.processes):
                break
        self.office.send(Fate.DONE)
        self.office.send(Fate.DONE)
        if self.dice.random() < 0.5:  # a drain; the others die with their slices
            for process in self.processes:
                process.give_back()
                process.send(Fate.DONE)
                self._check_now(process)
        self.now += 10 * TTL
        self._reap_all(jobs=True)
        self.now = max([self.now, *(job.deadline for job in self.jobs)]) + 1
        self._reap_all(jobs=False)
        self.office.expire(self.now)
        self.office.send(Fate.DONE)
        self.auditor.check(self.now)
        for account in self.store.accounts().values():
            if account.expires_at is not None and account.expires_at <= self.now and account.c != account.d:
                raise Violation(f"{account.id} outlives its end with {account.c - account.d}")
        self.auditor.check_requests([*self.requests, *self.jobs])
        self._count()

    def _check_now(self, process: Process) -> None:
        self.changed = True
        self._check(process)

    def _reap_all(self, jobs: bool) -> None:
        self.store.reap(self.now)
        self.auditor.check(self.now)
        self.auditor.check_reaped(self.now)
        self.auditor.check_idle(jobs)

    def _count(self) -> None:
        rows = self.store.reservations()
        for request in self.requests:
            self.tally[request.state] += 1
            if request.state == "crashed" and request.id in rows and rows[request.id].charged > request.delivered:
                self.tally["charged, cut before it was delivered"] += 1
        for job in self.jobs:
            self.tally[f"job {job.state}"] += 1
        for row in rows.values():
            self.tally[row.state] += 1
        for transfer in self.store.transfers():
            self.tally[f"transfer {transfer.kind}"] += 1
