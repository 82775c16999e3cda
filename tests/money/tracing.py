"""Calls of a running gateway to the system that fail, by strace: with an error, or with a signal."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.running.processes import Gateway

SYNCS = "fdatasync,fsync"


@contextmanager
def faulty_syncs(gateway: Gateway, fault: str) -> Iterator[None]:
    """A gateway whose fsyncs fail as strace's `inject` says; skipped where no process may be traced."""
    with faulty_calls(gateway, SYNCS, fault):
        yield


@contextmanager
def faulty_calls(gateway: Gateway, calls: str, fault: str) -> Iterator[None]:
    """The same of other calls."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, which makes calls fail without a disk that does")
    words = [strace, "-f", "-p", str(gateway.pid), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
    tracer = subprocess.Popen([*words, "-o", "/dev/null"], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        if "attached" not in (said := tracer.stderr.readline()):
            pytest.skip(f"may not trace: {said}")
        yield
    finally:
        tracer.kill()  # asked to end, it would wait for threads of a process that is dead
        tracer.wait()
        tracer.stderr.close()
