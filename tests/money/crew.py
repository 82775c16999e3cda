"""A gateway of several workers, and who of them answers which connection."""

import os
from contextlib import ExitStack
from pathlib import Path

from tests.running.client import Caller, Connection, eventually
from tests.running.processes import Gateway, Simulator

from .conftest import LIMITS, priced

DEAR_NANO = 200_000  # what a token of `dear` costs, and nothing else of it

DEAR = """
[models."dear"]
max_output_tokens = 1000000
price = { input = "0", output = "200" }

[providers.more]
base_url = "SIMULATOR"
key = "simulator-secret-key"
wire = "exact"
models = ["dear"]
"""


def crew_config(simulator: Simulator, workers: int, more: str = "") -> str:
    """The prices that tests know, and so many workers."""
    dear = DEAR.replace("SIMULATOR", simulator.base_url)
    return priced(simulator, f"{LIMITS}\n[server]\nworkers = {workers}\n{more}", dear)


def workers_of(gateway: Gateway) -> dict[int, int]:
    """The processes that were ready last, by their number."""
    ready = [line for line in gateway.log_lines() if line.get("event") == "worker_ready"]
    return {line["worker"]: line["worker_pid"] for line in ready}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def worker_behind(gateway: Gateway, connection: Connection) -> int:
    """The worker that has accepted a connection: whose socket is its other end."""
    client_port = connection.socket.getsockname()[1]

    def look() -> int | None:
        inode = _inode_of(gateway.port, client_port)
        return next((pid for pid in workers_of(gateway).values() if inode in _inodes_of(pid)), None)

    found = eventually(look)
    assert found is not None
    return found


def _inode_of(port: int, client_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, ours, theirs, *rest = line.split()
        if ours.endswith(f":{port:04X}") and theirs.endswith(f":{client_port:04X}"):
            return f"socket:[{rest[6]}]"
    return ""


def _inodes_of(pid: int) -> set[str]:
    found = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.add(os.readlink(descriptor))
            except OSError:
                continue
    except OSError:
        pass
    return found


def connected_to_each(stack: ExitStack, caller: Caller) -> dict[int, Connection]:
    """A connection to each worker that lives, by its process; the caller's key is known there, so that it may idle."""
    found: dict[int, Connection] = {}

    def look() -> bool:
        connection = caller.open()
        pid = worker_behind(caller.gateway, connection)
        if pid in found:
            connection.close()
        else:
            found[pid] = stack.enter_context(connection)
            connection.send(caller.bytes_of("GET", "/v1/models"))
            assert connection.answer().status == 200
        return found.keys() >= set(workers_of(caller.gateway).values())

    eventually(look, 20.0)
    return found
