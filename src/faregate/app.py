"""The composition root: Settings in, a running data plane out. Alone names concrete stores."""

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import uvloop

from . import demo
from .core.catalog import Snapshot
from .core.money import parse_amount
from .dialects.table import DIALECTS, UPSTREAMS
from .edge.cors import Cors
from .edge.desk import Desk
from .edge.door import Door, DoorLimits
from .edge.floodgate import Floodgate
from .edge.house import House
from .edge.neighbourhood import load_houses, plans_of
from .edge.probes import Probes
from .flow.admission import Callers
from .flow.expectations import Expectations
from .flow.funds import Tariffs
from .flow.gate import FlowLimits, Gate
from .flow.health import Health, HealthLimits
from .flow.idempotency import Runs
from .flow.responses import ResponseStates
from .flow.unattended import Unattended
from .gauges import Figure, Figures, gauges
from .ledger.budgets import BudgetAccounts
from .ledger.ledger import Ledger
from .ledger.notices import RUN_FOLDER
from .ledger.seals import Seals
from .providers import secrets_of
from .providers.active import active_providers
from .providers.discovery import watch_models
from .providers.renewal import renewed
from .providers.simulated import simulated
from .revisions import Revisions
from .sealed import idempotency_keys, shared_shelf
from .settings import Settings
from .starting import Options, StartError, limit_resources, picked, start_simulator
from .stores.catalog import build_snapshot
from .stores.charged_prices import ChargedPrices
from .stores.counters import MachineCounters
from .stores.directory import Directory
from .stores.journal import Journal
from .stores.pepper import load_pepper
from .stores.plans import CurrentPlans
from .stores.retention import Retention
from .stores.sqlite import SqliteDatabase
from .stores.usage_days import tokens_of_day
from .telemetry.log import Log
from .telemetry.metrics import Metrics
from .telemetry.redactor import Redactor
from .wire.addresses import TrustedProxies
from .wire.client import Client
from .wire.connection import ServerConnection
from .wire.deadlines import Deadlines
from .wire.proxies import proxies_from
from .wire.server import Server, ServerLimits, bound_unix_socket, server_tls

DATABASE = "faregate.db"
COUNTERS_FOLDER = "counters"
SWITCH_INTERVAL_S = 0.002


class DataPlane:
    """Everything that runs in one data-plane process."""

    def __init__(self, settings: Settings, options: Options, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._options = options
        self._environment = environment
        self._houses = load_houses(settings)
        self._log = Log(level=settings.log.level, requests=settings.log.requests, is_shared=options.post is not None)
        self._simulator: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._was_signalled = False

    async def run(self) -> int:
        """Serve until a signal says stop; the exit code."""
        loop = asyncio.get_running_loop()
        stop = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, stop)
        if self._options.post is not None:
            loop.add_reader(sys.stdin.fileno(), self._parent_ended, stop)
        await self._compose()
        calling = (self._client, self._deadlines)
        try:
            renewals = await renewed(self._providers, *calling, self._log.event, self._gate.redact.learn)
            base_url = await self._listen()
            background = [
                *renewals,
                asyncio.ensure_future(self._figures.keep_publishing()),
                asyncio.ensure_future(self._revisions.watch()),
                asyncio.ensure_future(watch_models(*calling, self._providers.values(), self._models_found)),
                asyncio.ensure_future(self._idempotency_keys.keep_deleting_expired()),
                asyncio.ensure_future(Seals(self._database, self._log.event).run()),
            ]
            if self._shelf is not None:
                background.append(asyncio.ensure_future(self._shelf.keep_deleting()))
            days = self._settings.usage.retention_days
            retention = Retention(self._database, days, self._log.event, days_of=self._plans.retention_days)
            background.append(asyncio.ensure_future(retention.run()))
            for task in background:
                task.add_done_callback(self._background_ended)
            await self._announce(base_url)
            gc.collect()
            gc.freeze()  # what lives as long as the process need not be looked at again
            gc.set_threshold(20_000, 20, 20)
            sys.setswitchinterval(SWITCH_INTERVAL_S)  # the journal's thread must not hold the loop up for long
            await stop
            for task in background:
                task.cancel()
            return await self._drain()
        finally:
            await self._database.close()
            if self._simulator is not None:
                self._simulator.terminate()
                self._simulator.wait()

    # Building

    async def _compose(self) -> None:
        settings, environment = self._settings, self._environment
        providers = active_providers(settings, environment)
        self._is_simulated = not providers
        if self._is_simulated:
            port = None if self._options.post is None else self._options.post.simulator_port
            if port is None:
                self._simulator, port = start_simulator()
            providers = {"simulator": simulated(port)}
        self._providers = providers
        self._discovered: dict[str, list[str]] = {}
        self._deadlines = Deadlines(asyncio.get_running_loop())
        self._client = Client(self._deadlines, proxies=proxies_from(environment))
        self._pepper = load_pepper(self._options.data, environment)
        self._database = SqliteDatabase(self._options.data / DATABASE, self._log.fatal)
        self._directory = Directory(self._database, self._pepper, prefix=self._houses.main.key_prefix.decode())
        await self._directory.check_pepper()
        self._ledger = self._made_ledger()
        await self._ledger.open()
        metrics = Metrics()
        self._figures = Figures(metrics, self._gauges, self._options.post)
        expectations = Expectations()
        charged_prices = ChargedPrices(self._database)
        self._journal = Journal(
            self._database,
            (self._log.requests, metrics.observe, expectations.observe),
            flush_interval_s=settings.usage.flush_interval_s,
            pending_max=settings.usage.pending_max,
            find_charged=self._ledger.find_call,
        )
        self._shelf = shared_shelf(settings, self._database, self._pepper, self._log.event)
        self._gate = Gate(
            client=self._client,
            deadlines=self._deadlines,
            snapshots=self._snapshots(),
            providers=providers,
            dialects=DIALECTS,
            upstreams=UPSTREAMS,
            redact=Redactor(tuple(secrets_of(providers))),
            ledger=self._ledger,
            budgets=BudgetAccounts(self._database),
            counters=self._made_counters(),
            expectations=expectations,
            unattended=Unattended(
                drained_calls_max=settings.limits.drained_calls_max,
                requests_bytes_max=settings.limits.bodies_bytes_max,
            ),
            health=Health(picked(HealthLimits, settings.health), self._log.event, lambda: len(self._door.in_flight)),
            tariffs=Tariffs(settings.prices.default_price, charged_prices.note),
            responses=ResponseStates(self._shelf),
            limits=picked(FlowLimits, settings.deadlines, settings.limits, settings.health),
        )
        self._idempotency_keys = idempotency_keys(settings, self._database, self._pepper, self._log.event)
        self._runs = self._made_runs()
        self._callers = self._made_callers()
        self._door = self._made_door(charged_prices)
        await self._begin_plans()

    def _made_door(self, charged_prices: ChargedPrices) -> Door:
        settings, folder, is_alone = self._settings, self._options.data / COUNTERS_FOLDER, self._options.post is None
        return Door(
            gate=self._gate,
            houses=self._houses,
            desk=Desk(
                gate=self._gate,
                houses=self._houses.houses,
                find_record=self._journal.find,
                find_price=charged_prices.find,
            ),
            callers=self._callers,
            floodgates={
                house.name: Floodgate.of(house.facts, folder, self._report_of_limits, alone=is_alone)
                for house in self._houses.houses
                if settings.limits.address_net
            },
            runs=self._runs,
            probes=Probes(self._problems, self._figures.exposition, metrics_public=settings.server.metrics == "public"),
            cors=Cors(settings.server.cors_origins),
            log=self._log,
            keep=self._journal.append,
            region=settings.server.region,
            limits=picked(DoorLimits, settings.limits),
        )

    async def _begin_plans(self) -> None:
        self._revisions = Revisions(
            self._directory,
            self._plans,
            self._callers,
            self._door.in_flight,
            self._door.cut_revoked,
            self._log.event,
        )
        await self._revisions.begin()
        for name in self._plans.missing_defaults():
            raise StartError(f"there is no plan {name}, which is to be a default one")

    def _made_callers(self) -> Callers:
        written = {house.name: plans_of(house, self._houses, self._settings) for house in self._houses.houses}
        self._plans = CurrentPlans(self._database, written, self._log.event)
        return Callers(self._pepper.value, self._directory.find_key, self._plans.agree)

    def _made_counters(self) -> MachineCounters:
        self._counters = MachineCounters(
            self._options.data / COUNTERS_FOLDER,
            self._tokens_of_day,
            self._report_of_limits,
            alone=self._options.post is None,
        )
        return self._counters

    def _report_of_limits(self, level: str, text: str) -> None:
        self._log.event(level, "limits", message=text)

    async def _tokens_of_day(self, subject: str, subject_id: str, day: int) -> int:
        return await self._database.read(lambda reading: tokens_of_day(reading, subject, subject_id, day))

    def _made_ledger(self) -> Ledger:
        return Ledger(
            self._database,
            self._options.data / RUN_FOLDER,
            self._log.event,
            relaxed=self._settings.ledger.durability == "relaxed",
        )

    def _made_runs(self) -> Runs:
        limits = self._settings.limits
        return Runs(
            self._idempotency_keys,
            self._gate.unattended,
            bytes_max=limits.idempotency_bytes_max,
            longest_request_s=limits.longest_request_s,
            epoch=self._ledger.epoch,
        )

    def _snapshots(self) -> dict[str, Snapshot]:
        return {house.name: self._snapshot(house) for house in self._houses.houses}

    def _snapshot(self, house: House) -> Snapshot:
        snapshot = build_snapshot(self._settings, self._providers, self._discovered, house_prices=house.prices)
        only = house.facts.models.only
        return snapshot.only(only) if only else snapshot

    @property
    def _main_snapshot(self) -> Snapshot:
        return self._gate.snapshots[self._houses.main.name]

    async def _listen(self) -> str:
        given = self._settings.server
        self._server = Server(
            self._door.answer,
            self._door.refusal,
            self._deadlines,
            picked(ServerLimits, self._settings.limits),
            TrustedProxies(given.trusted_networks),
            proxy_protocol=given.proxy_protocol,
            on_crash=lambda crash: self._log.event("error", "crash", error=type(crash).__name__),
        )
        tls = None
        if given.tls_certificate is not None and given.tls_key is not None:
            tls = server_tls(given.tls_certificate, given.tls_key)
        try:
            port = await self._server.listen_tcp(
                ServerConnection, given.host, given.port, tls=tls, reuse_port=given.reuse_port
            )
            post = self._options.post
            if post is not None and post.unix_descriptor is not None:
                await self._server.listen_unix(ServerConnection, socket.socket(fileno=post.unix_descriptor))
            elif given.unix_socket is not None:
                await self._server.listen_unix(ServerConnection, bound_unix_socket(given.unix_socket))
        except OSError as error:
            raise StartError(f"cannot listen on {given.host}:{given.port}: {error.strerror or error}") from None
        host = "127.0.0.1" if given.host in ("0.0.0.0", "::") else given.host
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if tls else 'http'}://{host}:{port}{self._houses.main.prefixes[0]}"

    # Telling

    async def _announce(self, base_url: str) -> None:
        credit_nano = parse_amount(self._settings.ledger.demo_credit)
        key = await demo.key(self._directory, self._database, credit_nano) if self._options.demo else None
        models = self._main_snapshot.models
        self._log.event("info", "ready", base_url=base_url, providers=sorted(self._providers), models=len(models))
        post = self._options.post
        if self._options.as_json:
            pid = os.getpid() if post is None else post.parent_pid
            text = json.dumps({"base_url": base_url, "key": key.reveal() if key else None, "pid": pid}) + "\n"
        elif key is not None:
            text = demo.welcome(base_url, key, self._main_snapshot, self._is_simulated)
        else:
            whose = " of the built-in simulator, as no provider is set" if self._is_simulated else ""
            text = f"Faregate serves {len(models)} models{whose} at {base_url}\n"
        # A worker is ready with this line; its parent says what it says once all are
        sys.stdout.write(text if post is None else json.dumps(text) + "\n")
        sys.stdout.flush()

    def _problems(self) -> list[str]:
        problems = []
        if self._stopping:
            problems.append("the gateway is stopping")
        if not self._journal.healthy:
            problems.append("usage records cannot be written")
        if not self._ledger.healthy or self._ledger.is_failing:
            problems.append("the ledger cannot be written")
        if self._counters.is_held_up:
            problems.append("limits cannot be counted")
        if not self._main_snapshot.models:
            problems.append("no models are served")
        return problems

    def _gauges(self) -> Iterator[Figure]:
        return gauges(self._server, self._door, self._gate, self._journal, self._runs)

    # Watching

    def _models_found(self, provider: str, models: list[str]) -> None:
        self._discovered[provider] = models
        self._gate.snapshots = snapshots = self._snapshots()
        served = [target for snapshot in snapshots.values() for each in snapshot.targets.values() for target in each]
        self._gate.health.forget_all_but(served)
        self._log.event("info", "models_discovered", provider=provider, models=len(models))

    def _background_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (crash := task.exception()) is not None:
            self._log.event("error", "background_crash", error=type(crash).__name__, task=task.get_name())

    # Stopping

    def _signalled(self, stop: "asyncio.Future[None]") -> None:
        if self._was_signalled:
            self._log.event("warning", "stopped_at_once")
            os._exit(1)
        self._was_signalled = True
        self._stop(stop)

    def _parent_ended(self, stop: "asyncio.Future[None]") -> None:
        """The parent has closed its end, or died. No signal is counted: a supervisor may have sent one to all."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._stop(stop)

    def _stop(self, stop: "asyncio.Future[None]") -> None:
        self._stopping = True
        if not stop.done():
            stop.set_result(None)

    async def _drain(self) -> int:
        self._log.event("info", "draining", in_flight=len(self._door.in_flight))
        deadline = time.monotonic() + self._settings.server.drain_timeout_s
        finished = await self._server.drain(self._settings.server.drain_timeout_s)
        finished &= await self._gate.unattended.drain(deadline - time.monotonic())
        await asyncio.sleep(0)  # let what was cut write its record
        self._client.close()
        await self._idempotency_keys.close()
        settled = await self._ledger.close()
        written = await self._journal.close()
        self._figures.publish()
        self._counters.close()
        self._deadlines.close()
        self._log.event("info", "stopped", finished=finished, settled=settled, records_written=written)
        return 0 if written and settled else 1


def run(settings: Settings, options: Options, environment: Mapping[str, str]) -> int:
    """Run a data plane until it is told to stop; the exit code. StartError, StoreError, ProviderError."""
    limit_resources()
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return uvloop.run(DataPlane(settings, options, environment).run())
