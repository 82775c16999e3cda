"""Strands and signals: who runs when, what is raised where, and what becomes of a crash."""

import asyncio
import gc

import pytest

from faregate.wire.strand import Signal, Strand

from .rig import on_loop, until


class Notes(list[object]):
    """What happened, in order."""

    def crash(self, error: BaseException) -> None:
        self.append(error)


def test_it_runs_at_once_to_its_end() -> None:
    notes = Notes()

    async def work() -> None:
        notes.append("in")

    strand = Strand(work(), notes.crash)
    assert strand.done
    assert notes == ["in"]


def test_a_signal_resumes_it_inside_set() -> None:
    notes = Notes()
    signal: Signal[str] = Signal()

    async def work() -> None:
        notes.append("before")
        notes.append(await signal)
        notes.append("after")

    strand = Strand(work(), notes.crash)
    assert notes == ["before"]
    assert not strand.done
    signal.set("value")
    assert notes == ["before", "value", "after"]
    assert strand.done


def test_a_signal_that_is_set_already_does_not_wait() -> None:
    notes = Notes()
    signal: Signal[int] = Signal()
    signal.set(7)
    assert signal.is_set

    async def work() -> None:
        notes.append(await signal)
        notes.append(await signal)

    Strand(work(), notes.crash)
    assert notes == [7, 7]


def test_the_first_word_counts() -> None:
    notes = Notes()
    signal: Signal[int] = Signal()
    signal.set(1)
    signal.set(2)
    signal.fail(LookupError())

    async def work() -> None:
        notes.append(await signal)

    Strand(work(), notes.crash)
    assert notes == [1]


def test_a_failure_is_raised_where_it_waits() -> None:
    notes = Notes()
    signal: Signal[int] = Signal()

    async def work() -> None:
        try:
            await signal
        except LookupError as error:
            notes.append(error)

    Strand(work(), notes.crash)
    error = LookupError()
    signal.fail(error)
    signal.fail(ValueError())
    assert notes == [error]


def test_a_crash_is_reported_once() -> None:
    notes = Notes()
    signal: Signal[int] = Signal()

    async def at_once() -> None:
        raise LookupError("at once")

    async def later() -> None:
        await signal
        raise LookupError("later")

    strand = Strand(at_once(), notes.crash)
    assert strand.done
    strand = Strand(later(), notes.crash)
    signal.set(0)
    assert strand.done
    assert [str(error) for error in notes] == ["at once", "later"]
    strand.cancel(ValueError())
    strand.step()
    assert len(notes) == 2


def test_cancel_raises_where_it_waits() -> None:
    notes = Notes()
    signal: Signal[int] = Signal()

    async def work() -> None:
        try:
            await signal
        finally:
            notes.append("cleaned")

    strand = Strand(work(), notes.crash)
    error = LookupError()
    strand.cancel(error)
    assert notes == ["cleaned", error]
    signal.set(1)  # nobody hears it any longer
    assert notes == ["cleaned", error]


def test_cancelled_it_may_wait_again() -> None:
    notes = Notes()
    first: Signal[int] = Signal()
    second: Signal[int] = Signal()

    async def work() -> None:
        try:
            await first
        except LookupError:
            notes.append(await second)

    strand = Strand(work(), notes.crash)
    strand.cancel(LookupError())
    first.set(1)
    assert not strand.done
    second.set(2)
    assert strand.done
    assert notes == [2]


def test_cancel_while_running_is_raised_at_the_next_wait() -> None:
    notes = Notes()
    signal: Signal[int] = Signal()
    strands: list[Strand] = []
    start: Signal[None] = Signal()

    async def work() -> None:
        await start
        strands[0].cancel(LookupError("while running"))
        notes.append("still running")
        try:
            await signal
        except LookupError as error:
            notes.append(str(error))
        notes.append(await signal)

    strands.append(Strand(work(), notes.crash))
    start.set(None)
    assert notes == ["still running", "while running"]
    signal.set(5)
    assert notes[-1] == 5
    assert strands[0].done


def test_cancel_while_running_and_no_further_wait() -> None:
    notes = Notes()
    strands: list[Strand] = []
    start: Signal[None] = Signal()

    async def work() -> None:
        await start
        strands[0].cancel(LookupError())
        notes.append("end")

    strands.append(Strand(work(), notes.crash))
    start.set(None)
    assert strands[0].done
    assert notes == ["end"]


def test_strands_wake_one_another() -> None:
    notes = Notes()
    signals: list[Signal[int]] = [Signal() for _ in range(50)]

    async def link(number: int) -> None:
        got = await signals[number]
        if number + 1 < len(signals):
            signals[number + 1].set(got + 1)
        notes.append(got)

    for number in range(len(signals)):
        Strand(link(number), notes.crash)
    signals[0].set(0)
    assert notes == list(reversed(range(50)))


@on_loop
async def test_futures() -> None:
    notes = Notes()
    loop = asyncio.get_running_loop()
    good, bad, cancelled = (loop.create_future() for _ in range(3))

    async def work() -> None:
        notes.append(await good)
        try:
            await bad
        except LookupError as error:
            notes.append(error)
        try:
            await cancelled
        except asyncio.CancelledError:
            notes.append("cancelled")

    strand = Strand(work(), notes.crash)
    good.set_result("good")
    assert notes == []  # a future takes a trip through the loop
    await until(lambda: notes)
    error = LookupError()
    bad.set_exception(error)
    await until(lambda: len(notes) == 2)
    cancelled.cancel()
    await until(lambda: strand.done)
    assert notes == ["good", error, "cancelled"]


@on_loop
async def test_a_thread_and_a_bare_yield() -> None:
    notes = Notes()
    loop = asyncio.get_running_loop()

    async def work() -> None:
        notes.append(await loop.run_in_executor(None, lambda: 6 * 7))
        await asyncio.sleep(0)
        notes.append("yielded")
        await asyncio.sleep(0.001)
        notes.append("slept")

    strand = Strand(work(), notes.crash)
    await until(lambda: strand.done)
    assert notes == [42, "yielded", "slept"]


@on_loop
async def test_cancelled_at_a_bare_yield() -> None:
    notes = Notes()

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        except LookupError:
            await asyncio.sleep(0)
            notes.append("on")

    strand = Strand(work(), notes.crash)
    strand.cancel(LookupError())
    assert not strand.done
    await until(lambda: strand.done)
    assert notes == ["on"]


@on_loop
async def test_cancelled_while_it_waits_for_a_future() -> None:
    """The future's later result or error goes nowhere, and is not reported as never retrieved."""
    notes = Notes()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: notes.append(context["message"]))
    again: Signal[int] = Signal()

    async def work(future: "asyncio.Future[int]") -> None:
        try:
            await future
        except LookupError:
            notes.append(await again)

    futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(3)]
    strands = [Strand(work(future), notes.crash) for future in futures]
    for strand in strands:
        strand.cancel(LookupError())
    futures[0].set_result(1)
    futures[1].set_exception(ValueError())
    futures[2].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(strand.done for strand in strands)
    again.set(5)
    assert strands[2].done
    del futures
    gc.collect()
    assert notes == [5]


@on_loop
async def test_a_future_that_is_done_already() -> None:
    notes = Notes()
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(3)

    async def work() -> None:
        notes.append(await future)

    assert Strand(work(), notes.crash).done
    assert notes == [3]


def test_the_end_of_a_process_is_reported_too() -> None:
    notes = Notes()

    async def work() -> None:
        raise SystemExit(3)

    Strand(work(), notes.crash)
    assert isinstance(notes[0], SystemExit)


def test_many_turns_do_not_nest() -> None:
    """A loop of waits that are set already takes no stack."""
    notes = Notes()

    async def work() -> None:
        total = 0
        for number in range(100_000):
            signal: Signal[int] = Signal()
            signal.set(number)
            total += await signal
        notes.append(total)

    Strand(work(), notes.crash)
    assert notes == [sum(range(100_000))]


def test_awaited_outside_a_strand_is_an_error() -> None:
    async def work() -> None:
        await Signal()

    with pytest.raises(RuntimeError):
        asyncio.run(work())
