"""The official SDKs and the second upstream, each in a process of its own that talks JSON lines."""

import json
import os
import select
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.running.processes import CLEAN, Gateway, Simulator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE = ROOT / ".venv" / "bin" / "node"
MODULES = HERE / "node" / "node_modules"
ANSWER_TIMEOUT_S = 60.0

_PYTHON = str(HERE / "python" / "run.py")
_NODE = str(HERE / "node" / "run.mjs")
COMMANDS = {
    "python-newest": [str(ROOT / ".venv" / "bin" / "python"), _PYTHON],
    "python-previous": [str(ROOT / ".venv-openai-previous" / "bin" / "python"), _PYTHON],
    "node-newest": [str(NODE), _NODE, "--sdk", "openai-newest"],
    "node-previous": [str(NODE), _NODE, "--sdk", "openai-previous"],
}
AIMOCK = [str(NODE), str(HERE / "node" / "upstream.mjs")]
NEEDED = {
    "the newest Python SDK": ROOT / ".venv" / "bin" / "python",
    "the previous Python SDK": ROOT / ".venv-openai-previous" / "bin" / "python",
    "Node": NODE,
    "the newest Node SDK": MODULES / "openai-newest",
    "the previous Node SDK": MODULES / "openai-previous",
    "aimock": MODULES / "@copilotkit" / "aimock",
}


def require_tools() -> None:
    """Fail, and say what to do, where what these tests drive is not installed."""
    missing = [name for name, path in NEEDED.items() if not path.exists()]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)}. `make setup` (or `make test`) installs it.", pytrace=False)


class LineProcess:
    """A child process that reads and writes JSON lines; its first line says that it is ready."""

    def __init__(self, command: list[str], name: str) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        # Neither a key nor a proxy of the machine; and no compiled file is left beside the scripts.
        environment = {key: value for key, value in CLEAN.items() if key != "PYTHONPATH"}
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._unread = b""
        self.ready = self._read_line()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request, one answer."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(request).encode() + b"\n")
        self._popen.stdin.flush()
        return self._read_line()

    def _read_line(self) -> dict[str, Any]:
        assert self._popen.stdout is not None
        descriptor = self._popen.stdout.fileno()
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while b"\n" not in self._unread:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(descriptor, 1 << 20) if readable else b""
            if not piece:
                self._popen.kill()
                self._popen.wait()
                self._errors.seek(0)
                said = self._errors.read().decode("utf-8", "replace")[-4000:]
                raise RuntimeError(f"{self.name} {'ended' if readable else 'does not answer'}: {said}")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def stop(self) -> None:
        """End it: its input ends."""
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._popen.stdin.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()
        self._errors.close()


class Aimock(LineProcess):
    """@copilotkit/aimock with the replies of a file. `is_strict`: it refuses what it has no reply to."""

    def __init__(self, replies: Path = HERE / "replies.json", *, is_strict: bool = False) -> None:
        super().__init__([*AIMOCK, str(replies), *(["--strict"] if is_strict else [])], "aimock")
        self.base_url: str = self.ready["base_url"]
        self._journal = self.base_url.removesuffix("/v1") + "/__aimock/journal"

    def last_body(self) -> dict[str, Any]:
        """The body of the request that came last."""
        with urllib.request.urlopen(f"{self._journal}?limit=0", timeout=30) as answer:
            total = int(answer.headers["x-total-count"])
        with urllib.request.urlopen(f"{self._journal}?offset={total - 1}", timeout=30) as answer:
            body = json.load(answer)[-1]["body"]
        return {name: value for name, value in body.items() if not name.startswith("_")}


@dataclass(frozen=True)
class Upstream:
    """An upstream with the gateway before it. `kind` is simulator or aimock, `wire` what the gateway takes it for."""

    kind: str
    wire: str
    gateway: Gateway
    process: Simulator | Aimock

    def last_body(self) -> dict[str, Any]:
        """The body of the request that reached it last."""
        if isinstance(self.process, Simulator):
            return self.process.get("/simulator/last_request")["body"]
        return self.process.last_body()

    @property
    def client(self) -> dict[str, Any]:
        """What a client of the gateway needs."""
        return {"base_url": self.gateway.base_url, "api_key": self.gateway.key}


def aimock_config(aimock: Aimock, wire: str) -> str:
    """A configuration whose only provider is aimock."""
    return f"""
[providers.mock]
base_url = "{aimock.base_url}"
key = "aimock-secret-key"
wire = "{wire}"
models = ["gpt-4o", "gpt-4o-mini"]
"""
