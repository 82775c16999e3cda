"""The built-in simulator, where no real provider is switched on. It runs in a process of its own."""

import subprocess
import sys

import msgspec

from ..core.secret import Secret
from . import Provider, ProviderError, origin_of

NAME = "simulator"


def simulated(port: int) -> Provider:
    """The simulator that listens on `port` of this machine."""
    origin, path = origin_of(f"http://127.0.0.1:{port}/v1")
    return Provider(name=NAME, origin=origin, path=path, credential=Secret("simulator"), exact=True)


def start_simulator() -> tuple[subprocess.Popen[bytes], int]:
    """The simulator's process and its port. ProviderError."""
    # In a session of its own: a Ctrl-C is for the gateway, which still drains what the simulator is answering.
    process = subprocess.Popen(
        [sys.executable, "-m", "faregate.simulator"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ProviderError("the simulator did not start")
    return process, msgspec.json.decode(line)["port"]
