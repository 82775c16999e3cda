"""The shipped model catalogue: what the rest of the gateway may rely on when it reads the file."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from faregate.core.catalog import Capabilities

FILE = Path(__file__).parents[2] / "src" / "faregate" / "data" / "catalog.json"
CATALOG = json.loads(FILE.read_text())
MODELS = {model["id"]: model for model in CATALOG["models"]}
ALIASES = CATALOG["aliases"]

MEMBERS = {
    "id",
    "vendor",
    "family",
    "created",
    "context_window",
    "max_output_tokens",
    "kind",
    "tags",
    "shutdown_date",
    "successor",
    "served_by",
    "capabilities",
    "prices",
}
KINDS = {
    "chat",
    "completion",
    "embedding",
    "image",
    "speech",
    "transcription",
    "video",
    "moderation",
    "rerank",
}
PROVIDERS = {
    "openai",
    "anthropic",
    "google",
    "deepseek",
    "mistral",
    "groq",
    "together",
    "xai",
    "openrouter",
    "fireworks",
    "dashscope",
    "moonshot",
    "cohere",
}
TAGS = {
    "vision",
    "tools",
    "json_schema",
    "audio",
    "video_input",
    "reasoning",
    "pdf",
    "prompt_caching",
    "web_search",
    "computer_use",
    "responses_only",
}

# Every id a reference prints (contract 3.8), and the model it must reach.
PRINTED = {
    "gemini-3.1-pro": "gemini-3.1-pro-preview",
    "gpt-5.5": "gpt-5.5",
    "claude-opus-4.7": "claude-opus-4-7",
    "claude-sonnet-4.6": "claude-sonnet-4-6",
    "gpt-5.4-mini": "gpt-5.4-mini",
    "gemini-3-flash": "gemini-3-flash-preview",
    "llama-4-maverick": "llama-4-maverick",
    "deepseek-v4": "deepseek-v4-flash",
    "qwen3-max": "qwen3-max",
    "phi-4": "phi-4",
    "anthropic/claude-sonnet-4-5": "claude-sonnet-4-5",
    "openai/gpt-4o": "gpt-4o",
    "openai/gpt-4o-mini": "gpt-4o-mini",
    "deepseek-v4-pro": "deepseek-v4-pro",
    "deepseek-v4-flash": "deepseek-v4-flash",
    "gpt-4o": "gpt-4o",
    "gpt-4o-mini": "gpt-4o-mini",
    "claude-sonnet-4-20250514": "claude-sonnet-4-20250514",
    "gemini-2.5-pro": "gemini-2.5-pro",
    "gemini-2.5-flash": "gemini-2.5-flash",
    "dall-e-3": "dall-e-3",
    "dall-e-2": "dall-e-2",
}

# The windows a reference prints, rounded: 1M stands for 1 000 000 to 1 050 000, 256K for 2^18, ...
PRINTED_WINDOWS = {
    "gemini-3.1-pro": (1_000_000, 1_050_000),
    "gpt-5.5": (1_000_000, 1_050_000),
    "claude-opus-4.7": (1_000_000, 1_050_000),
    "claude-sonnet-4.6": (1_000_000, 1_050_000),
    "gpt-5.4-mini": (400_000, 400_000),
    "gemini-3-flash": (1_000_000, 1_050_000),
    "llama-4-maverick": (1_000_000, 1_050_000),
    "deepseek-v4": (1_000_000, 1_050_000),
    "qwen3-max": (256_000, 262_144),
    "phi-4": (16_000, 16_384),
}


def normal(name: str) -> str:
    """In: a name. Out: the form in which contract 3.1 compares names, whatever its case."""
    return re.sub(r"(?<=\d)\.(?=\d)", "-", name.lower())


def resolve(name: str) -> dict | None:
    """In: any name. Out: the one model it denotes by contract 3.1, or nothing."""
    if name in MODELS or name in ALIASES:
        return MODELS[ALIASES.get(name, name)]
    prefix, slash, rest = name.partition("/")
    bare = rest if slash and prefix in CATALOG["vendor_prefixes"] else name
    names = [*((model_id, model_id) for model_id in MODELS), *ALIASES.items()]
    found = {target for known, target in names if normal(known) == normal(bare)}
    return MODELS[found.pop()] if len(found) == 1 else None


def test_the_file_says_when_and_from_what_it_was_made():
    assert dt.date.fromisoformat(CATALOG["dated"])
    assert len(CATALOG["sources"]) >= 2
    assert set(CATALOG) == {"dated", "sources", "models", "aliases", "vendor_prefixes"}


def test_the_file_is_small_and_has_one_model_a_line():
    text = FILE.read_text()
    assert len(text) < 400_000
    assert sum(line.startswith('{"id":') for line in text.splitlines()) == len(CATALOG["models"])


def test_ids_are_bare_and_unique():
    assert len(MODELS) == len(CATALOG["models"])
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", model_id) for model_id in MODELS)


@pytest.mark.parametrize("model", CATALOG["models"], ids=lambda model: model["id"])
def test_every_entry_is_whole(model):
    assert set(model) == MEMBERS
    assert model["vendor"] and model["family"]
    assert model["kind"] in KINDS
    assert set(model["tags"]) <= TAGS and len(model["tags"]) == len(set(model["tags"]))
    # Between the first of the models that are served and the catalogue's own day.
    day = dt.datetime.fromtimestamp(model["created"], dt.UTC).date()
    assert dt.date(2022, 1, 1) <= day <= dt.date.fromisoformat(CATALOG["dated"])
    assert model["served_by"] and set(model["served_by"]) <= PROVIDERS
    assert all(model["served_by"].values())
    for limit in (model["context_window"], model["max_output_tokens"]):
        assert limit is None or (isinstance(limit, int) and limit > 0)
    if model["kind"] in ("chat", "completion", "embedding"):
        assert model["context_window"]
    msgspec.convert(model["capabilities"], Capabilities)
    assert not model["capabilities"] or model["kind"] == "chat"
    if model["context_window"] and model["max_output_tokens"]:
        assert model["max_output_tokens"] <= model["context_window"]


@pytest.mark.parametrize("model", CATALOG["models"], ids=lambda model: model["id"])
def test_an_ending_model_has_a_date_and_a_living_successor(model):
    if model["shutdown_date"]:
        assert dt.date.fromisoformat(model["shutdown_date"])
    if model["successor"]:
        assert model["shutdown_date"]
        ends = MODELS[model["successor"]]["shutdown_date"]
        assert ends is None or ends > max(CATALOG["dated"], model["shutdown_date"])
        assert MODELS[model["successor"]]["kind"] == model["kind"]


@pytest.mark.parametrize(("alias", "target"), ALIASES.items())
def test_an_alias_names_an_existing_model_and_is_none_itself(alias, target):
    assert target in MODELS
    assert alias not in MODELS


def test_no_two_models_share_a_name_in_the_compared_form():
    owners: dict[str, set[str]] = {}
    for name, target in [*((model_id, model_id) for model_id in MODELS), *ALIASES.items()]:
        owners.setdefault(normal(name), set()).add(target)
    assert {name: models for name, models in owners.items() if len(models) > 1} == {}


@pytest.mark.contract("3.8")
@pytest.mark.parametrize(("name", "model_id"), PRINTED.items())
def test_every_id_that_a_reference_prints_resolves(name, model_id):
    assert resolve(name) is MODELS[model_id]


@pytest.mark.parametrize(("name", "window"), PRINTED_WINDOWS.items())
def test_printed_context_windows_are_kept(name, window):
    low, high = window
    assert low <= resolve(name)["context_window"] <= high


@pytest.mark.parametrize(
    "name", ["claude-sonnet-4-20250514", "gemini-2.5-pro", "gemini-2.5-flash", "dall-e-3", "dall-e-2"]
)
def test_families_ended_upstream_say_when_and_what_follows(name):
    assert MODELS[name]["shutdown_date"] and MODELS[name]["successor"]


@pytest.mark.parametrize("name", ["gpt-4o-2024-05-13", "gpt-4o-2024-11-20"])
def test_a_snapshot_that_is_another_model_is_no_alias(name):
    assert resolve(name) is MODELS[name]


@pytest.mark.parametrize("name", ["gpt", "gpt-5.55", "nobody/gpt-4o", "claude", "gpt-4o-minis", ""])
def test_an_unknown_name_finds_nothing(name):
    assert resolve(name) is None


@pytest.mark.contract("3.8")
@pytest.mark.parametrize(
    "vendor",
    ["openai", "anthropic", "google", "deepseek", "mistral", "cohere", "meta", "qwen", "xai", "microsoft"],
)
def test_every_promised_vendor_is_there(vendor):
    assert any(model["vendor"] == vendor for model in CATALOG["models"])


@pytest.mark.contract("3.8")
def test_there_are_enough_models_of_every_kind():
    kinds = Counter(model["kind"] for model in CATALOG["models"])
    assert kinds["chat"] >= 200
    assert set(kinds) == KINDS


def test_a_model_on_several_hosts_is_one_entry():
    assert {"groq", "openrouter", "together"} <= set(MODELS["gpt-oss-120b"]["served_by"])
    assert MODELS["gpt-4o"]["served_by"] == {"openai": "gpt-4o", "openrouter": "openai/gpt-4o"}


def test_vendor_prefixes_are_vendors_not_hosts():
    prefixes = set(CATALOG["vendor_prefixes"])
    assert {
        "openai",
        "anthropic",
        "google",
        "deepseek",
        "mistralai",
        "meta-llama",
        "x-ai",
        "qwen",
    } <= prefixes
    assert not prefixes & {"openrouter", "together", "groq", "dashscope"}
    assert {model["vendor"] for model in CATALOG["models"]} <= prefixes
