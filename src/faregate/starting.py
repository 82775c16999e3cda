"""How a gateway is started: what is asked of it, what one of several workers is given, and what both ways share."""

import contextlib
import json
import resource
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


class StartError(Exception):
    """The gateway cannot start; the message says why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a worker is given by its parent: whom to speak for, the simulator to ask where there is no provider, and, as
    inherited descriptors, the listening unix socket, if there is one, and the pages of all workers' figures; the one of
    its `place` is its own."""

    parent_pid: int
    simulator_port: int | None
    unix_descriptor: int | None
    pages: tuple[int, ...]
    place: int = 0

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that are to be inherited."""
        return self.pages if self.unix_descriptor is None else (*self.pages, self.unix_descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a data plane is started: its data directory, whether to make a demo key and print the first call (`up`),
    whether to print one line of JSON instead, and whose worker it is, if it is one."""

    data: Path
    demo: bool = False
    as_json: bool = False
    post: Post | None = None


def limit_resources() -> None:
    """No core dumps, and as many connections as the system gives."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no prompt in a core dump (security.md S16)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def start_simulator() -> tuple[subprocess.Popen[bytes], int]:
    """The built-in simulator in a process of its own, which ends with ours, and its port. StartError."""
    # In a session of its own: a Ctrl-C is for the gateway, which still drains what the simulator is answering.
    process = subprocess.Popen(
        [sys.executable, "-m", "faregate.simulator"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise StartError("the simulator did not start")
    return process, json.loads(line)["port"]


def picked(shape: type[T], *tables: msgspec.Struct) -> T:
    """A dataclass of limits, filled from the settings' fields of the same names."""
    given = {field: getattr(table, field) for table in tables for field in table.__struct_fields__}
    return shape(**{field.name: given[field.name] for field in fields(shape) if field.name in given})  # type: ignore[arg-type]
