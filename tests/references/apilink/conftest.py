"""A gateway that wears the apilink house, and who calls it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT, LineProcess
from tests.running.client import Caller
from tests.running.processes import Gateway

from .house import MODEL


@pytest.fixture
def caller(apilink: Gateway) -> Caller:
    return Caller(apilink, model=MODEL)


@pytest.fixture(scope="package")
def litellm() -> Iterator[LineProcess]:
    """LiteLLM, started once: that takes it some seconds."""
    interpreter = ROOT / ".venv-litellm" / "bin" / "python"
    if not interpreter.exists():
        pytest.fail("not installed: LiteLLM. `make setup` (or `make test`) installs it.", pytrace=False)
    process = LineProcess([str(interpreter), str(Path(__file__).parent / "litellm_client.py")], "LiteLLM")
    yield process
    process.stop()
