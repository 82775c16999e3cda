"""The systems side by side: how each is started, where it listens, which processes are its own."""

import json
import os
import string
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import OURS, UNCHARGED
from bench.processes import (
    LOAD_CORE,
    SYSTEM_CORE,
    free_port,
    process_tree,
    spawn,
    stop,
    wait_port,
)

HERE = Path(__file__).parent
MODEL, ANTHROPIC_MODEL, GEMINI_MODEL = "bench-model", "bench-anthropic", "bench-gemini"
# The upstream as the gateway's providers: name, dialect, model.
PROVIDERS = (
    ("bench", "openai_chat", MODEL),
    ("bench-anthropic", "anthropic_messages", ANTHROPIC_MODEL),
    ("bench-gemini", "gemini_generate", GEMINI_MODEL),
)
READY_TIMEOUT_S = 30.0
POLL_S = 0.001


@dataclass
class System:
    """One running system; `ready_s` is from the start of its process to its being ready."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    path: str = "/v1/chat/completions"
    key: str = "none"
    model: str = MODEL
    tls: bool = False
    ready_s: float = 0.0
    begun_s: float = 0.0
    more_pids: list[int] = field(default_factory=list)

    def pids(self) -> list[int]:
        """The processes it consists of."""
        return process_tree([self.process.pid, *self.more_pids])

    def spec(self, **members: Any) -> dict[str, Any]:
        """A load on this system."""
        where = {"port": self.port, "path": self.path, "key": self.key, "model": self.model}
        return where | {"tls": self.tls} | members

    def stop(self) -> None:
        """End it."""
        stop(self.process)


@dataclass
class Peer:
    """Another gateway, as `peers.toml` describes it."""

    name: str
    command: list[str]
    path: str = "/v1/chat/completions"
    key: str = "none"
    model: str = MODEL
    port: int = 0
    ready_timeout_s: float = 60.0
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def load_peers(file: Path) -> list[Peer]:
    """The peers named in a file."""
    entries = tomllib.loads(file.read_text()).get("peer", [])
    return [Peer(**entry) for entry in entries]


class Systems:
    """Starts systems, each in a directory of its own under one temporary directory."""

    def __init__(self, directory: Path, peers: list[Peer]) -> None:
        self.directory = directory
        self.directory.chmod(0o755)  # nginx's worker is another user
        self.running: dict[str, System] = {}
        self.upstream = self.start_upstream()
        self.starters: dict[str, Callable[[bool], System]] = {
            "nginx": self.start_nginx,
            OURS: self.start_faregate,
            UNCHARGED: lambda tls: self.start_faregate(tls, charged=False),
        }
        for peer in peers:
            self.starters[peer.name] = lambda tls, peer=peer: self.start_peer(peer, tls)

    def start(self, name: str, *, tls: bool = False) -> System:
        """Start one system anew (an earlier one of this name is ended)."""
        self.end(name)
        self.running[name] = self.starters[name](tls)
        return self.running[name]

    def end(self, name: str) -> None:
        """End one system, if it runs."""
        system = self.running.pop(name, None)
        if system is not None:
            system.stop()

    def close(self) -> None:
        """End everything."""
        for name in list(self.running):
            self.end(name)
        self.upstream.stop()

    def new_directory(self, name: str) -> Path:
        """A new empty directory."""
        directory = Path(tempfile.mkdtemp(prefix=name + "-", dir=self.directory))
        directory.chmod(0o755)
        return directory

    def start_upstream(self) -> System:
        """The mock provider, on the load's core."""
        port = free_port()
        process = spawn([sys.executable, "-m", "bench.upstream", str(port)], LOAD_CORE)
        wait_port(port, READY_TIMEOUT_S, process)
        return System("direct", port, process)

    def start_nginx(self, tls: bool) -> System:
        """nginx as a plain relay."""
        directory, port = self.new_directory("nginx"), free_port()
        certificate, key = self.certificate() if tls else (None, None)
        text = string.Template((HERE / "nginx.conf.in").read_text()).substitute(
            directory=directory,
            port=port,
            upstream_port=self.upstream.port,
            tls_word="ssl" if tls else "",
            tls_lines=f"ssl_certificate {certificate}; ssl_certificate_key {key};" if tls else "",
        )
        file = directory / "nginx.conf"
        file.write_text(text)
        begun_s = time.monotonic()
        command = ["nginx", "-c", str(file), "-e", str(directory / "error.log")]
        process = spawn(command, SYSTEM_CORE)
        wait_port(port, READY_TIMEOUT_S, process)
        ready_s = time.monotonic() - begun_s
        while len(process_tree([process.pid])) < 2:  # the worker
            time.sleep(POLL_S)
        return System("nginx", port, process, tls=tls, ready_s=ready_s, begun_s=begun_s)

    def start_faregate(self, tls: bool, *, charged: bool = True) -> System:
        """The gateway as `faregate up` starts it, in a new data directory; `charged`: at a price."""
        directory, port = self.new_directory("faregate"), free_port()
        lines = [
            *(line for name, dialect, model in PROVIDERS for line in self.provider_lines(name, dialect, model)),
            "[ledger]",
            'demo_credit = "100000000"',
            "[prices]",
            'default = { input = "1", cache_read = "0.1", output = "2" }'
            if charged
            else 'default = { input = "0", output = "0" }',
        ]
        if tls:
            certificate, key = self.certificate()
            lines += ["[server]", f'tls_certificate = "{certificate}"', f'tls_key = "{key}"']
        config, said = directory / "faregate.toml", directory / "stdout"
        config.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "faregate", "up", "--json", "--port", str(port)]
        command += ["--data", str(directory / "data"), "--config", str(config)]
        begun_s = time.monotonic()
        process = spawn(
            command,
            SYSTEM_CORE,
            env=gateway_environment(),
            stdout=said.open("wb"),
            stderr=(directory / "stderr").open("wb"),
        )
        facts = wait_facts(process, said, directory / "stderr")
        ready_s = time.monotonic() - begun_s
        system = System(OURS if charged else UNCHARGED, port, process, key=facts["key"], tls=tls)
        system.ready_s, system.begun_s = ready_s, begun_s
        system.more_pids = [facts["pid"]]
        return system

    def provider_lines(self, name: str, dialect: str, model: str) -> list[str]:
        """The settings of one provider: the upstream, spoken to in a dialect."""
        return [
            f"[providers.{name}]",
            f'base_url = "http://127.0.0.1:{self.upstream.port}/v1"',
            f'dialect = "{dialect}"',
            'wire = "exact"',
            f'models = ["{model}"]',
        ]

    def start_peer(self, peer: Peer, tls: bool) -> System:
        """Another gateway, from its entry in `peers.toml`."""
        if tls:
            raise RuntimeError("peers are measured without TLS")
        directory, port = self.new_directory(peer.name), peer.port or free_port()
        upstream = f"http://127.0.0.1:{self.upstream.port}/v1"
        said = {"{port}": str(port), "{upstream}": upstream, "{directory}": str(directory)}
        for name, text in peer.files.items():
            (directory / name).write_text(filled(text, said))
        more = {name: filled(text, said) for name, text in peer.environment.items()}
        log = (directory / "log").open("wb")
        begun_s = time.monotonic()
        process = spawn(
            [filled(word, said) for word in peer.command],
            SYSTEM_CORE,
            env=gateway_environment() | more,
            stdout=log,
            stderr=log,
        )
        wait_port(port, peer.ready_timeout_s, process)
        ready_s = time.monotonic() - begun_s
        system = System(peer.name, port, process, peer.path, peer.key, peer.model)
        system.ready_s, system.begun_s = ready_s, begun_s
        return system

    def certificate(self) -> tuple[Path, Path]:
        """A self-signed certificate (P-256) and its key, made once."""
        certificate, key = self.directory / "tls.crt", self.directory / "tls.key"
        if not certificate.exists():
            command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            command += " -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
            files = ["-keyout", str(key), "-out", str(certificate)]
            subprocess.run([*command.split(), *files], check=True, capture_output=True)
        return certificate, key


def gateway_environment() -> dict[str, str]:
    """Our environment with `src` importable and compiled modules kept, as an installation has."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(HERE.parent / "src"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def filled(text: str, said: dict[str, str]) -> str:
    """The text with its placeholders replaced; other braces stay."""
    for placeholder, value in said.items():
        text = text.replace(placeholder, value)
    return text


def wait_facts(process: subprocess.Popen[bytes], said: Path, errors: Path) -> dict[str, Any]:
    """Wait for the line of JSON a ready gateway prints."""
    limit_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < limit_s:
        line, newline, _ = said.read_bytes().partition(b"\n")
        if newline:
            return dict(json.loads(line))
        if process.poll() is not None:
            break
        time.sleep(POLL_S)
    stop(process)
    ending = errors.read_text()[-2000:].strip()
    raise RuntimeError(f"the gateway did not come up: {ending or 'it said nothing'}")
