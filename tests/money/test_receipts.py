"""A charge and the usage row that explains it are never without each other, even where the process is killed (I5)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from faregate.core.call import UsageRecord
from faregate.core.ids import RequestIds, id_bytes
from faregate.core.money import format_amount
from faregate.core.usage import Usage
from faregate.ledger.receipts import Receipts, Unstorable
from faregate.ledger.records import Settle, Settled
from faregate.stores.database import Transaction
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.usage_rows import record_of
from tests.running.client import eventually
from tests.running.processes import Gateway, Simulator

from .books import Customer, customer_of
from .conftest import priced
from .reopening import Reopened, kill

LATE = "[usage]\nflush_interval_s = 10.0\n"  # what the journal writes comes too late for a process that is killed


@pytest.fixture
def late(session_folder: Path, simulator: Simulator) -> Iterator[Customer]:
    """A customer of a gateway whose journal writes late."""
    gateway = Gateway(session_folder, priced(simulator, LATE))
    yield customer_of(gateway, "late", "10", "test-model")
    gateway.stop()


def reopened(customer: Customer, gateway: Gateway) -> Customer:
    """The same customer of the gateway that was started after it."""
    return Customer(gateway, customer.organisation, customer.key, customer.key_id, customer.model)


def test_what_was_answered_is_on_record_after_a_kill(late: Customer) -> None:
    plain = late.served()
    stream = late.streamed({"output_tokens": 9})
    failed = late.streamed({"output_tokens": 50, "malformed": "error_event"})
    eventually(lambda: late.settled(failed.header("x-request-id")))
    kill(late.gateway)
    gateway = Reopened(late.gateway)
    try:
        customer = reopened(late, gateway)
        for answer, status, kind in ((plain, 200, None), (stream, 200, None), (failed, 503, "upstream_unavailable")):
            record = customer.record(answer.header("x-request-id"))
            held = customer.settled(answer.header("x-request-id"))
            assert (record["status"], record["error_kind"]) == (status, kind)
            assert record["cost"] == format_amount(held.charged) != "0"
            assert record["bytes_out"] > 0
            assert record["total_ms"] > 0
        customer.books.in_order()
    finally:
        gateway.stop()


def test_a_stream_that_was_cut_by_a_kill_is_on_record(late: Customer) -> None:
    with late.stream({"output_tokens": 10_000, "tokens_per_s": 500}) as connection:
        connection.body_until(b'"content":', 20)
        eventually(lambda: late.books.rows("SELECT 1 FROM reservation WHERE checkpoint > 0"))
        kill(late.gateway)
    gateway = Reopened(late.gateway)
    try:
        customer = reopened(late, gateway)
        [(identity, held)] = customer.books.reservations().items()
        assert held.state == "reaped"
        record = customer.record(f"{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}")
        assert (record["status"], record["error_kind"]) == (500, "gateway_stopped")
        assert record["cost"] == format_amount(held.charged) != "0"
        customer.books.in_order()
    finally:
        gateway.stop()


def test_a_record_that_no_database_takes_leaves_its_charge_explained(tmp_path: Path) -> None:
    identity = RequestIds()(1.8e9)
    usage = Usage(input=3, images=2)
    call = UsageRecord(id=identity, received_at=1.8e9, key_id="key", model="m", client_request_id="\ud800", usage=usage)
    records, results = [Settle(id_bytes(identity), 70)], [Settled(True, 60)]

    async def run() -> list[tuple[object, ...]]:
        database = SqliteDatabase(tmp_path / "faregate.db")
        receipts = Receipts()

        async def write(*, singly: bool) -> None:
            def work(writing: Transaction) -> None:
                receipts.begin()
                receipts.write(writing, {id_bytes(identity): call}, records, results, singly=singly)

            await database.run(work)
            receipts.committed()

        try:
            with pytest.raises(Unstorable):
                await write(singly=False)
            await write(singly=True)
            return await database.read(lambda reading: reading.all("SELECT model, cost, client_request_id FROM usage"))
        finally:
            await database.close()

    assert asyncio.run(run()) == [("m", 60, None)]


def test_rare_counters_are_kept(tmp_path: Path) -> None:
    usage = Usage(input=1, output=2, audio_input=3, images=4, searches=5)
    call = UsageRecord(id=RequestIds()(1.8e9), received_at=1.8e9, key_id="key", project_id="p", usage=usage)

    async def run() -> UsageRecord:
        database = SqliteDatabase(tmp_path / "faregate.db")
        receipts = Receipts()
        try:
            await database.run(lambda writing: receipts.write(writing, {b"": call}, [], []))
            columns = (
                "id, received_at, organisation_id, project_id, key_id, method, operation, dialect, client_address, "
                "client_request_id, model_asked, model, provider, upstream_model, upstream_request_id, region, "
                "replica, attempts, stream, status, error_kind, input, cache_read, cache_write, output, reasoning, "
                "source, suspect, first_byte_ms, total_ms, bytes_in, bytes_out, hold, cost, price_version, rare"
            )
            row = await database.read(lambda reading: reading.one(f"SELECT {columns} FROM usage"))
            assert row is not None
            return record_of(row)
        finally:
            await database.close()

    assert asyncio.run(run()).usage == usage
