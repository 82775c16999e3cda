"""The built-in simulator, where no real provider is switched on. It runs in a process of its own."""

from ..core.secret import Secret
from . import Provider, origin_of

NAME = "simulator"


def simulated(port: int) -> Provider:
    """The simulator that listens on `port` of this machine."""
    origin, path = origin_of(f"http://127.0.0.1:{port}/v1")
    return Provider(name=NAME, origin=origin, path=path, credential=Secret("simulator"), exact=True)
