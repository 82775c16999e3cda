"""Runs a reference's printed examples: only the address and the key in them are others."""

import contextlib
import os
import runpy
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.e2e.processes import MODULES, NODE
from tests.running.client import Answer
from tests.running.processes import CLEAN, Gateway

_CURL_SETTINGS = 'silent\nshow-error\ninclude\nnoproxy = "*"\nmax-time = 30\n'
_TIMEOUT_S = 60


def ours(printed: str, url: str, gateway: Gateway, key: str = "") -> str:
    """An example with the gateway's base URL for the `url` that is printed, its key for the printed one."""
    assert url in printed and key in printed
    text = printed.replace(url, gateway.base_url)
    return text.replace(key, gateway.key) if key else text


def curl(command: str, folder: Path, **environment: str) -> Answer:
    """What a shell's curl shows of the answer; how much that is stands in curl's own settings, not in the command."""
    (folder / ".curlrc").write_text(_CURL_SETTINGS)
    done = subprocess.run(
        ["sh", "-c", command],
        env=CLEAN | {"CURL_HOME": str(folder)} | environment,
        capture_output=True,
        check=True,
        timeout=_TIMEOUT_S,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(first.split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs], body)


def python(script: str, folder: Path) -> dict[str, Any]:
    """The names that a Python example leaves behind, `os` being there; its client is closed."""
    file = folder / "example.py"
    file.write_text(script, "utf-8")
    names = runpy.run_path(str(file), init_globals={"os": os})
    names["client"].close()
    return names


def node(script: str, folder: Path, **environment: str) -> str:
    """What a JavaScript example prints; to it `openai` is the newest Node SDK."""
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "openai").symlink_to(MODULES / "openai-newest")
    file = folder / "example.mjs"
    file.write_text(script, "utf-8")
    done = subprocess.run(
        [str(NODE), str(file)],
        env=CLEAN | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=_TIMEOUT_S,
    )
    return done.stdout


@contextlib.contextmanager
def sdk(gateway: Gateway, key: str | None = None, **headers: str) -> Iterator[OpenAI]:
    """openai-python as its users make it, but that it asks once only."""
    with OpenAI(
        base_url=gateway.base_url, api_key=key or gateway.key, max_retries=0, default_headers=headers or None
    ) as client:
        yield client


def plan(**members: Any) -> Mapping[str, Any]:
    """What the simulator is to do, as a member that the SDK is told to add."""
    return {"simulator": members}
