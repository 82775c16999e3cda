"""The built-in simulator: `faregate up` with no provider at all serves every id that a reference prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway

from .scenarios import REPLIES, Sdk, asks

# contract.md 3.8
PRINTED = [
    *("gemini-3.1-pro", "gpt-5.5", "claude-opus-4.7", "claude-sonnet-4.6", "gpt-5.4-mini", "gemini-3-flash"),
    *("llama-4-maverick", "deepseek-v4", "qwen3-max", "phi-4", "anthropic/claude-sonnet-4-5", "openai/gpt-4o"),
    *("openai/gpt-4o-mini", "deepseek-v4-pro", "deepseek-v4-flash", "gpt-4o", "gpt-4o-mini"),
    *("claude-sonnet-4-20250514", "gemini-2.5-pro", "gemini-2.5-flash", "dall-e-3", "dall-e-2"),
]


@pytest.fixture(scope="module")
def alone(session_folder: Path) -> Iterator[Gateway]:
    """A gateway that was told of no provider."""
    process = Gateway(session_folder, "")
    yield process
    process.stop()


@pytest.mark.contract("3.8")
def test_every_printed_id_is_served(sdk: Sdk, alone: Gateway) -> None:
    client = {"base_url": alone.base_url, "api_key": alone.key}
    report = sdk.do("name_models", client, asks("plain"), models=PRINTED)
    wrong = {model: names for model, names in report["named"].items() if set(names) != {model}}
    assert not wrong


def test_its_answers_are_the_simulators(sdk: Sdk, alone: Gateway) -> None:
    client = {"base_url": alone.base_url, "api_key": alone.key}
    report = sdk.do("accumulate", client, asks("plain"))
    assert report["answer"]["choices"][0]["message"]["content"] == REPLIES["plain"]["content"]


@pytest.mark.contract("3.8")
def test_many_models_are_listed(sdk: Sdk, alone: Gateway) -> None:
    client = {"base_url": alone.base_url, "api_key": alone.key}
    models = sdk.do("list_models", client, {})["models"]
    assert len(models) > 200
    assert all(isinstance(model["created"], int) and model["owned_by"] for model in models)
