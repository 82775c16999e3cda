"""One timer for all deadlines: who is called, when, and how often."""

import asyncio
import time

from faregate.wire.deadlines import NEVER, Deadlines

from .rig import on_loop, until


class Clocked:
    """Notes when it is due, and moves its deadline as it is told."""

    def __init__(self, due_at: float, *, again: float = NEVER) -> None:
        self.due_at = due_at
        self.again = again
        self.times: list[float] = []

    def due(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.due_at = self.again


@on_loop
async def test_late_by_up_to_a_tick_never_early() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, tick_s=0.01)
    items = [Clocked(loop.time() + 0.003 * number) for number in range(30)]
    wanted = [item.due_at for item in items]
    for item in items:
        deadlines.watch(item)
    await until(lambda: all(item.times for item in items))
    for item, due_at in zip(items, wanted, strict=True):
        assert len(item.times) == 1
        assert due_at <= item.times[0] < due_at + 0.2
    deadlines.close()


@on_loop
async def test_every_tick_until_it_is_moved() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, tick_s=0.005)
    stubborn = Clocked(0.0, again=0.0)
    deadlines.watch(stubborn)
    deadlines.watch(stubborn)
    await until(lambda: len(stubborn.times) >= 5)
    stubborn.again = NEVER
    count = len(stubborn.times)
    now = deadlines.now
    await until(lambda: deadlines.now > now + 0.03)
    assert len(stubborn.times) <= count + 1
    deadlines.close()


@on_loop
async def test_forgotten_and_never() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, tick_s=0.005)
    never, gone = Clocked(NEVER), Clocked(loop.time() + 0.02)
    deadlines.watch(never)
    deadlines.watch(gone)
    deadlines.forget(gone)
    deadlines.forget(gone)
    now = deadlines.now
    await until(lambda: deadlines.now > now + 0.05)
    assert not never.times
    assert not gone.times
    deadlines.close()


@on_loop
async def test_one_that_ends_others_as_it_is_called() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, tick_s=0.005)

    class Killer(Clocked):
        def due(self) -> None:
            super().due()
            deadlines.forget(second)
            deadlines.watch(third)

    first, second, third = Killer(0.0), Clocked(0.0), Clocked(0.0)
    deadlines.watch(first)
    deadlines.watch(second)
    await until(lambda: third.times)
    assert len(first.times) == 1
    assert not second.times
    deadlines.close()


@on_loop
async def test_now_and_lag() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, tick_s=0.01)
    now = deadlines.now
    await until(lambda: deadlines.now > now)
    assert abs(deadlines.now - loop.time()) < 0.2
    time.sleep(0.15)  # noqa: ASYNC251 - the loop is to lag
    now = deadlines.now
    await until(lambda: deadlines.now > now)
    assert 0.1 < deadlines.lag_s < 1
    await until(lambda: deadlines.lag_s < 0.05)
    deadlines.close()
    now = deadlines.now
    await asyncio.sleep(0.05)
    assert deadlines.now == now
