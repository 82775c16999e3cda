"""A gateway that is killed and started again on the same data."""

import signal

from tests.running.processes import Gateway, Process


class Reopened(Gateway):
    """The gateway of `former`'s data and configuration in a new process."""

    def __init__(self, former: Gateway) -> None:
        self.folder, self.config, self.data = former.folder, former.config, former.data
        arguments = ["-m", "faregate", "up", "--json", "--config", str(self.config), "--data", str(self.data)]
        Process.__init__(self, [*arguments, "--port", "0"], {}, self.folder / "gateway.log")
        self.base_url: str = self.ready["base_url"]
        self.key: str = self.ready["key"]
        self.port = int(self.base_url.rsplit(":", 1)[1].partition("/")[0])


def kill(gateway: Gateway) -> None:
    """SIGKILL; returns when it is dead."""
    assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
