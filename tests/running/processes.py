"""Starts the real gateway and the real simulator as processes of their own, on free ports, and stops them."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
# Many tests have a model fail again and again, and count: it is neither left alone for that nor asked twice.
FORGIVING = {
    "FAREGATE_HEALTH_FAILURES_IN_ROW_MAX": "1000000",
    "FAREGATE_HEALTH_WINDOW_CALLS_MIN": "1000000",
    "FAREGATE_HEALTH_PAUSE_S_MIN": "0.000001",
    "FAREGATE_HEALTH_PAUSE_S_MAX": "0.000001",
    "FAREGATE_HEALTH_LAST_TRIAL_INTERVAL_S": "0.000001",
    "FAREGATE_HEALTH_LIMITED_S_MAX": "0.000001",
    "FAREGATE_HEALTH_REPEATS": "false",
}
_OF_THE_MACHINE = ("PATH", "HOME", "LANG", "PYTHONPATH", "TMPDIR")
# No key, proxy or setting of the machine may reach a test.
CLEAN = FORGIVING | {name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ}


class Process:
    """A child process that prints one line of JSON when it is ready."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as sink:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=sink, env=CLEAN | environment
            )
        self.ready: dict[str, Any] = json.loads(self._first_line())

    @property
    def pid(self) -> int:
        return self.popen.pid

    def _first_line(self) -> bytes:
        assert self.popen.stdout is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self.popen.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.popen.stdout.fileno(), 65536) if readable else b""
            if not piece:
                self.popen.kill()
                self.popen.wait()
                raise RuntimeError(f"not ready: {self.log.read_text('utf-8', 'replace')[-4000:]}")
            line += piece
        return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and wait; the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise
        finally:
            if self.popen.stdout is not None:
                self.popen.stdout.close()

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured lines it has logged so far."""
        whole_lines = self.log.read_text("utf-8").split("\n")[:-1]
        return [json.loads(line) for line in whole_lines if line.startswith("{")]


class Simulator(Process):
    """The simulator; `base_url` is what a provider table points at."""

    def __init__(self, folder: Path) -> None:
        super().__init__(["-m", "faregate.simulator"], {}, folder / "simulator.log")
        self.port: int = self.ready["port"]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def get(self, path: str) -> Any:
        """A JSON document of its own paths, `/simulator/truth?since=0` say."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"authorization": "Bearer t"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


# What tests that are not about money have to spend, and what the models cost that they make up
ENOUGH = """
[ledger]
demo_credit = "100000000"

[prices]
default = { input = "1", cache_read = "0.1", output = "2" }
"""


class Gateway(Process):
    """The gateway: `faregate up --json` with a configuration of the test's. `base_url` ends in /v1."""

    def __init__(self, folder: Path, config: str, environment: dict[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-", dir=folder))
        self.config = self.folder / "faregate.toml"
        self.config.write_text(config if "[ledger]" in config else config + ENOUGH, "utf-8")
        self.data = self.folder / "data"
        arguments = ["-m", "faregate", "up", "--json", "--config", str(self.config), "--data", str(self.data)]
        # All tests come from one address, and many with keys that are none
        environment = {"FAREGATE_LIMITS_ADDRESS_NET": "false", **(environment or {})}
        super().__init__([*arguments, "--port", "0"], environment, self.folder / "gateway.log")
        self.base_url: str = self.ready["base_url"]
        self.key: str = self.ready["key"]
        self.port = int(self.base_url.rsplit(":", 1)[1].partition("/")[0])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another process of the command line on the same data."""
        words = [sys.executable, "-m", "faregate", *arguments, "--config", str(self.config), "--data", str(self.data)]
        return subprocess.run(words, capture_output=True, text=True, env=CLEAN, timeout=30, check=False)


def simulated(simulator: Simulator, *, wire: str = "exact", more: str = "", provider_more: str = "") -> str:
    """A configuration whose only provider is the simulator, under any of a few model names."""
    return f"""
{more}

[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "{wire}"
models = ["gpt-4o", "gpt-4o-mini", "test-model"]
{provider_more}
"""
