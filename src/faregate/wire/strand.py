"""Strands: coroutines stepped by hand, where an asyncio task per request would cost more than the request.

A strand starts at once, inside the caller's stack, and runs until its coroutine awaits. It is resumed, again inside
the caller's stack, by the Signal that it waits for; no trip through the loop's queue in between. So `set()` and
`fail()` belong at the end of a callback: by the time they return, the coroutine may have run to its end.

An asyncio future can be awaited too (a thread's result, say); then the loop resumes the strand.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Signal(msgspec.Struct, Generic[T], eq=False):
    """A value or an error that one strand may wait for. The first `set` or `fail` counts; later ones do nothing."""

    is_set: bool = False
    _value: T | None = None
    _error: BaseException | None = None
    _strand: "Strand | None" = None

    def set(self, value: T) -> None:
        """Deliver `value` and run the waiting strand on."""
        if self.is_set:
            return
        self.is_set = True
        self._value = value
        strand = self._strand
        if strand is not None:
            self._strand = None
            strand.step()

    def fail(self, error: BaseException) -> None:
        """Deliver `error`, raised where the strand waits."""
        if self.is_set:
            return
        self.is_set = True
        self._error = error
        strand = self._strand
        if strand is not None:
            self._strand = None
            strand.step()

    def abandoned(self) -> None:
        """The strand that waited was cancelled; for those who do something that nobody waits for any longer."""

    def __await__(self) -> Generator["Signal[T]", None, T]:
        if not self.is_set:
            yield self
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


class Strand:
    """One coroutine under way. `on_crash` hears of an exception that the coroutine let through."""

    __slots__ = ("_coroutine", "_on_crash", "_running", "_thrown", "_waiting_for", "done")

    def __init__(self, coroutine: Coroutine[Any, Any, None], on_crash: Callable[[BaseException], None]) -> None:
        self._coroutine = coroutine
        self._on_crash = on_crash
        self._waiting_for: Signal[Any] | asyncio.Future[Any] | None = None
        self._running = False
        self._thrown: BaseException | None = None
        self.done = False
        self.step()

    def step(self, error: BaseException | None = None) -> None:
        """Run on until the next wait or the end."""
        if self.done:
            return
        self._waiting_for = None
        self._running = True
        try:
            waited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.done = True
            self._running = False
            return
        except BaseException as crash:
            self.done = True
            self._running = False
            self._on_crash(crash)
            return
        self._running = False
        if isinstance(waited, Signal):
            self._waiting_for = waited
            waited._strand = self
        else:
            self._wait_for_future(waited)
        if self._thrown is not None:
            thrown, self._thrown = self._thrown, None
            self.cancel(thrown)

    def _wait_for_future(self, waited: "asyncio.Future[Any] | None") -> None:
        if waited is None:  # asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            waited = loop.create_future()
            loop.call_soon(_wake_future, waited)
        self._waiting_for = waited
        waited._asyncio_future_blocking = False
        waited.add_done_callback(self._future_done)

    def _future_done(self, future: "asyncio.Future[Any]") -> None:
        if future is self._waiting_for:
            self.step()
        elif not future.cancelled():
            future.exception()  # the strand was cancelled meanwhile: the error has been seen

    def cancel(self, error: BaseException) -> None:
        """Raise `error` where the coroutine waits, now; if it is running at this moment, at its next wait."""
        if self.done:
            return
        if self._running:
            self._thrown = error
            return
        waited = self._waiting_for
        if isinstance(waited, Signal):
            waited._strand = None
            waited.abandoned()
        self.step(error)


async def in_strand(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for signals, for a task, which cannot wait for them itself."""
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        result = await coroutine
        if not done.done():
            done.set_result(result)

    def crashed(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    strand = Strand(run(), crashed)
    try:
        return await done
    except asyncio.CancelledError as error:
        strand.cancel(error)
        raise


def _wake_future(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
