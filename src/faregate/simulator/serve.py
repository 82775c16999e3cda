"""The simulator as a server: its routes, and the process that runs it.

Besides the provider's own paths: `GET /simulator/truth?since=N` (with `wait_ms` and `until`, the number of an
entry, it answers once that entry is there), `DELETE /simulator/truth`, `GET /simulator/last_request`.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote

import msgspec
import uvloop

from ..core.ids import RequestIds
from ..wire.deadlines import Deadlines
from ..wire.exchange import IncomingRequest, OutgoingResponse
from ..wire.messages import header_lines
from ..wire.server import Server, ServerLimits
from . import openai
from .exchange import Exchange, send_refusal
from .models import Models
from .outlet import CuttingConnection
from .plans import Plans
from .refused import Refused
from .routes import Route, allowed, route, speaker
from .truth import TruthLog
from .wires import Call

PARENT_CHECK_S = 0.2

_LIMITS = ServerLimits(
    keep_alive_timeout_s=3600.0,
    write_timeout_s=3600.0,
    unauthenticated_per_address_max=50_000,
)
_METHODS: dict[str, tuple[bytes, ...]] = {
    "/simulator/truth": (b"GET", b"DELETE"),
    "/simulator/last_request": (b"GET",),
}


class Simulator:
    """One simulated provider and its truth log."""

    def __init__(self, models: Models | None = None, log_path: Path | None = None) -> None:
        self.truth = TruthLog(log_path)
        self._models = models or Models()
        self._plans = Plans()
        self._ids = RequestIds()

    async def handle(self, request: IncomingRequest, response: OutgoingResponse) -> None:
        """Answer one request."""
        path = unquote(request.path.decode("latin-1"))
        query = {name: texts[-1] for name, texts in parse_qs(request.query.decode("latin-1")).items()}
        request_id = f"req_{self._ids(time.time()).replace('-', '')}"
        request.authenticated()
        found = route(request.method, path, query, request.headers)
        way = found or Route(speaker(path, request.headers), Call(), query)
        headers = way.wire.fields(request_id)
        if found is not None and found.listed is None:
            names = [name.decode("latin-1") for name in request.headers]
            entry = self.truth.begin(request_id, path, way.wire.name, names)
            exchange = Exchange(request, response, headers, route=way, entry=entry, truth=self.truth, plans=self._plans)
            try:
                await exchange.run()
            finally:
                self.truth.end(entry)
            return
        try:
            body = self._listed(request, found) if found is not None else await self._own(request, path, query)
        except Refused as refused:
            send_refusal(response, headers, way, refused, request_id)
        else:
            response.send(200, header_lines([*headers, ("content-type", "application/json")]), body)

    def _listed(self, request: IncomingRequest, found: Route) -> bytes:
        """The list of models, or one."""
        wire = found.wire
        wire.authorize(request.headers, found.query)
        assert wire.models is not None
        return msgspec.json.encode(wire.models(self._models, found.listed or "", found.query))

    async def _own(self, request: IncomingRequest, path: str, query: dict[str, str]) -> bytes:
        """The JSON at the paths that no provider has."""
        methods = allowed(path) or _METHODS.get(path)
        method = request.method.decode("latin-1")
        if not methods:
            raise Refused(f"Invalid URL ({method} {path})", status=404, kind="invalid_request_error")
        if request.method not in methods:
            raise Refused(f"Not allowed to {method} on {path}.", status=405)
        if path == "/simulator/last_request":
            return msgspec.json.encode(self.truth.last_request)
        if request.method == b"DELETE":
            self.truth.clear()
            return b"{}"
        return await self._truth(query)

    async def _truth(self, query: dict[str, str]) -> bytes:
        try:
            since = int(query.get("since", 0))
            until = int(query.get("until", since + 1))
            wait_s = float(query.get("wait_ms", 0)) / 1000
        except ValueError:
            raise Refused("'since', 'until' and 'wait_ms' are numbers.") from None
        await self.truth.wait(until, wait_s)
        truth = self.truth
        return msgspec.json.encode({"entries": truth.since(since), "last_seq": truth.seq, "in_flight": truth.in_flight})


class Serving:
    """A simulator that listens."""

    def __init__(self, simulator: Simulator, server: Server, port: int) -> None:
        self.simulator = simulator
        self.port = port
        self._server = server

    async def stop(self) -> None:
        """Cut what is under way, and close."""
        await self._server.drain(0.0)
        await asyncio.sleep(0)  # the cut connections' ends are callbacks of the loop
        self._server.deadlines.close()
        self.simulator.truth.close()


async def serve(host: str, port: int, *, log_path: Path | None = None, models: Models | None = None) -> Serving:
    """Listen on `host:port` (0: any). OSError where it cannot be had."""
    loop = asyncio.get_running_loop()
    simulator = Simulator(models, log_path)

    def crashed(error: BaseException) -> None:
        loop.call_exception_handler({"message": "the simulator failed to answer", "exception": error})

    server = Server(simulator.handle, _refusal, Deadlines(loop), _LIMITS, on_crash=crashed)
    return Serving(simulator, server, await server.listen_tcp(CuttingConnection, host, port))


def run(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    log_path: Path | None = None,
    ready: Callable[[int], None] | None = None,
    stop_with_parent: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, or until the parent process is gone. `ready` is told the port."""
    parent_pid = os.getppid()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)

        def look_for_parent() -> None:
            if os.getppid() == parent_pid:
                loop.call_later(PARENT_CHECK_S, look_for_parent)
            else:
                stopped.set()

        serving = await serve(host, port, log_path=log_path)
        if stop_with_parent:
            look_for_parent()
        if ready is not None:
            ready(serving.port)
        await stopped.wait()
        await serving.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _refusal(status: int, message: str) -> tuple[int, bytes, bytes]:
    body = msgspec.json.encode(openai.error(Refused(message), ""))
    return status, header_lines([("content-type", "application/json")]), body
