"""Several gateways on one address and one data directory, and the parent that starts them.

Theory of operation. The parent opens no database and answers nothing. It reserves the port, starts the first worker,
which makes the database, the demo key and what else there is to make once, and when that one is ready the others; the
kernel deals connections out among them (SO_REUSEPORT), a unix socket they inherit. A worker that dies is started again,
later each time that it dies soon. A worker is a process of its own, never a fork of this one; it is told its settings
over its standard input, so that one that is started later goes by the same as the rest, and says over its standard
output that it is ready.
What each counts, the others can read (telemetry/gathering.py).

That input stays open for as long as the parent wants the worker: its end says stop. It ends when the parent dies too,
however it does, and on every system alike (a signal at the parent's death is Linux's alone, and comes to nothing where
the parent is dead before it is asked for). Signals are the parent's: workers are in sessions of their own, so that
neither a Ctrl-C nor the parent's word comes to them twice.
"""

import asyncio
import dataclasses
import json
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Mapping

import msgspec

from .providers.active import active_providers
from .settings import ServerSettings, Settings
from .starting import Options, Post, StartError, limit_resources, start_simulator
from .telemetry.gathering import made_page
from .telemetry.log import Log
from .wire.server import bound_unix_socket

BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 10.0
LONG_LIFE_S = 10.0  # after which a worker's death is no sign that the next will die at once
_BACKLOG = 4096


def run(settings: Settings, options: Options, environment: Mapping[str, str]) -> int:
    """Run `settings.server.workers` workers until told to stop; the exit code. StartError, ProviderError, OSError."""
    limit_resources()
    simulator, simulator_port = (None, None) if active_providers(settings, environment) else start_simulator()
    try:
        reserved = _reserved(settings.server)
        unix = _listening_unix_socket(settings.server)
        post = Post(
            parent_pid=os.getpid(),
            simulator_port=simulator_port,
            unix_descriptor=None if unix is None else unix.fileno(),
            pages=tuple(made_page() for _ in range(settings.server.workers)),
        )
        port = reserved.getsockname()[1]
        server = msgspec.structs.replace(settings.server, port=port, reuse_port=True)
        settings = msgspec.structs.replace(settings, server=server)
        options = dataclasses.replace(options, post=post)
        return asyncio.run(_Parent(settings, options, [reserved] if unix is None else [reserved, unix]).run())
    finally:
        if simulator is not None:
            simulator.terminate()
            simulator.wait()


class _Place:
    """One worker at a time: the process that lives, and whether one was ever ready."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.text: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # what the first one has to say


class _Parent:
    """All workers. `sockets` are held open for them: a port that is reserved, the unix socket that they listen on."""

    def __init__(self, settings: Settings, options: Options, sockets: list[socket.socket]) -> None:
        self._settings = settings
        self._options = options
        self._sockets = sockets
        self._log = Log(level=settings.log.level)
        self._stopped = asyncio.Event()
        self._places: list[_Place] = []

    async def run(self) -> int:
        """Until all workers have ended; 0 if all that were told to stop have drained."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        keeping = [self._begin()]
        is_ready = await self._is_ready(keeping)
        if is_ready:
            keeping += [self._begin() for _ in range(self._settings.server.workers - 1)]
            is_ready = await self._is_ready(keeping)
        if is_ready:
            self._log.event("info", "workers_ready", workers=len(keeping))
            sys.stdout.write(self._places[0].text.result())
            sys.stdout.flush()
        elif not self._stopped.is_set():
            self._stop()
            await asyncio.gather(*keeping)
            raise StartError("a worker did not start")
        return 0 if not any(await asyncio.gather(*keeping)) else 1

    def _begin(self) -> "asyncio.Task[int]":
        place = _Place(len(self._places))
        self._places.append(place)
        return asyncio.ensure_future(self._keep(place))

    async def _is_ready(self, keeping: "list[asyncio.Task[int]]") -> bool:
        """Whether all workers have come to be ready; False as soon as one has ended, or a signal has come."""
        texts = asyncio.gather(*(place.text for place in self._places))
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait([texts, stopped, *keeping], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        return texts.done() and not self._stopped.is_set()

    # One place

    async def _keep(self, place: _Place) -> int:
        """Have a worker in a place until told to stop; the last one's exit code. Ends at once where the first is never
        ready."""
        backoff_s = BACKOFF_S_MIN
        while True:
            began_s = time.monotonic()
            try:
                code = await self._live(place)
            except OSError as error:  # the system has no process to spare just now
                self._log.event("error", "worker_not_started", worker=place.number, error=error.strerror)
                code = 1
            if self._stopped.is_set() or not place.text.done():
                return code
            if time.monotonic() - began_s > LONG_LIFE_S:
                backoff_s = BACKOFF_S_MIN
            self._log.event("error", "worker_died", worker=place.number, code=code, again_in_s=backoff_s)
            try:
                await asyncio.wait_for(self._stopped.wait(), backoff_s)
                return 0
            except TimeoutError:
                backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)

    async def _live(self, place: _Place) -> int:
        """One worker's whole life; its exit code."""
        assert self._options.post is not None
        post = dataclasses.replace(self._options.post, place=place.number)
        is_first = place.number == 0 and not place.text.done()
        options = dataclasses.replace(self._options, demo=self._options.demo and is_first, post=post)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "faregate", "worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=post.descriptors,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        place.process = process
        process.stdin.write(pickle.dumps((self._settings, options)))
        if self._stopped.is_set():
            process.stdin.close()
        line = await process.stdout.readline()
        if line:
            self._log.event("info", "worker_ready", worker=place.number, worker_pid=process.pid)
            if not place.text.done():
                place.text.set_result(json.loads(line))
        code = await process.wait()
        place.process = None
        process.stdin.close()
        return code

    # Stopping

    def _signalled(self) -> None:
        if self._stopped.is_set():
            self._log.event("warning", "stopped_at_once")
            for place in self._places:
                if place.process is not None:
                    place.process.kill()
        else:
            self._stop()

    def _stop(self) -> None:
        self._stopped.set()
        for held in self._sockets:
            held.close()
        for place in self._places:
            if place.process is not None and place.process.stdin is not None:
                place.process.stdin.close()


# Sockets


def _reserved(server: ServerSettings) -> socket.socket:
    """A socket that keeps the port for as long as no worker listens: a socket that is bound alone is given no
    connections. StartError where another process has the port, unless `reuse_port` says that it may."""
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if not server.reuse_port:
            _bound(family, address, shared=False).close()
        return _bound(family, address, shared=True)
    except OSError as error:
        raise StartError(f"cannot listen on {server.host}:{server.port}: {error.strerror or error}") from None


def _bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    opened = socket.socket(family)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(address)
    except BaseException:
        opened.close()
        raise
    return opened


def _listening_unix_socket(server: ServerSettings) -> socket.socket | None:
    if server.unix_socket is None:
        return None
    try:
        listening = bound_unix_socket(server.unix_socket)
    except OSError as error:
        raise StartError(f"cannot listen on {server.unix_socket}: {error.strerror or error}") from None
    listening.listen(_BACKLOG)
    return listening
