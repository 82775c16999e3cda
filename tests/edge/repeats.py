"""Calls under idempotency keys, seen from all sides: by rows, by the provider, by another process."""

import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from tests.running.client import CHAT, Answer, Caller, Connection, eventually
from tests.running.processes import Gateway, Process, Simulator

REPLAYED = "x-faregate-replayed"


def rows_of(gateway: Gateway, query: str, *values: object) -> list[dict[str, Any]]:
    [path] = gateway.data.glob("*.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values).fetchall()]


def records_of(caller: Caller, count: int) -> list[dict[str, Any]]:
    """The records of a customer's requests, once there are so many."""
    key_id = caller.key.removeprefix("sk-fg-")[:12]
    query = "SELECT * FROM usage WHERE key_id = ? AND operation = 'chat' ORDER BY received_at, id"
    return eventually(lambda: len(rows := rows_of(caller.gateway, query, key_id)) >= count and rows)


def seen(simulator: Simulator, since: int, count: int = 1) -> list[dict[str, Any]]:
    """What the simulator was asked, once it has answered so much; more would show."""
    wait = f"/simulator/truth?since={since}&until={since + count}&wait_ms=10000"
    entries = simulator.get(wait)["entries"]
    eventually(lambda: simulator.get("/simulator/truth")["in_flight"] == 0)
    assert simulator.get("/simulator/truth")["last_seq"] == since + count, "it was asked more often"
    return entries


def assert_replay(answer: Answer, first: Answer) -> None:
    """The same answer, and said to be."""
    assert (answer.status, bytes(answer.body)) == (first.status, bytes(first.body))
    assert answer.header(REPLAYED) == "true"
    assert first.header(REPLAYED) is None
    assert [field for field in answer.fields if field[0] != REPLAYED] == first.fields


def assert_taken(answer: Answer, code: str) -> None:
    assert (answer.status, answer.error["type"], answer.error["code"]) == (409, "invalid_request_error", code)
    if code == "idempotency_in_progress":
        assert int(answer.header("retry-after") or 0) >= 1
        assert "x-should-retry" not in answer.names
    else:
        assert answer.header("x-should-retry") == "false"
        assert "retry-after" not in answer.names


class Another:
    """Another process of a gateway's, on its data, with its settings."""

    def __init__(self, gateway: Gateway) -> None:
        words = ["-m", "faregate", "serve", "--json", "--port", "0", "--config", str(gateway.config)]
        log = gateway.folder / f"another-{uuid.uuid4()}.log"
        self.process = Process([*words, "--data", str(gateway.data)], {}, log)
        self.port = int(self.process.ready["base_url"].rsplit(":", 1)[1].partition("/")[0])

    def ask(self, caller: Caller, plan: Mapping[str, Any], key: dict[str, str], **members: Any) -> Answer:
        with Connection(self.port) as connection:
            connection.send(caller.bytes_of("POST", CHAT, caller.body(dict(plan), **members), key))
            return connection.answer()
