"""What GET /v1/models says of prices: per million tokens, as decimal texts, and what is charged now."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from faregate.core.catalog import Model, Snapshot
from faregate.core.identity import Caller as Identity
from faregate.core.money import Price, PriceEntry, Rates
from faregate.edge.house_file import ModelsShown
from faregate.edge.listing import Listing
from tests.running.client import Caller
from tests.running.processes import Gateway

CONFIG = """
[ledger]
demo_credit = "1"

[providers.host]
base_url = "http://127.0.0.1:9/v1"
models = ["whole", "sized", "dated", "past", "unpriced"]

[models."whole".price]
input = "0.16"
cache_read = "0.004"
cache_write_5m = "0.2"
output = "0.30"
audio_input = "1"
image = "0.04"
request = "0.0009"

[[models."sized".prices]]
input = "1"
output = "2"

[[models."sized".prices]]
prompt_tokens_over = 200000
input = "2"
output = "3.5"

[[models."dated".prices]]
from = 2020-01-01
input = "0.000001"

[[models."dated".prices]]
from = 2999-01-01
input = "9"

[[models."past".prices]]
until = 2020-01-01
input = "9"
"""
WHOLE = {
    "input": "0.16",
    "cache_read": "0.004",
    "cache_write_5m": "0.2",
    "output": "0.3",
    "audio_input": "1",
    "image": "0.04",
    "request": "0.0009",
}


@pytest.fixture(scope="module")
def shop(session_folder: Path) -> Iterator[Gateway]:
    gateway = Gateway(session_folder, CONFIG)
    yield gateway
    gateway.stop()


def listed(caller: Caller) -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in caller.get("/v1/models").json()["data"]}


@pytest.mark.contract("1.9", "7.2")
def test_each_model_says_what_it_costs(shop: Gateway) -> None:
    models = listed(Caller(shop))
    assert models["whole"]["pricing"] == WHOLE
    assert models["sized"]["pricing"] == {
        "input": "1",
        "output": "2",
        "larger_prompts": [{"prompt_tokens_over": 200000, "input": "2", "output": "3.5"}],
    }
    assert models["dated"]["pricing"] == {"input": "0.000001"}
    assert "pricing" not in models["unpriced"]
    assert "pricing" not in models["past"]  # nobody says what it costs today
    for name, model in models.items():
        assert Caller(shop).get(f"/v1/models/{name}").json() == model


def test_the_default_is_shown_where_it_is_charged(session_folder: Path) -> None:
    default = '[prices]\ndefault = { input = "0.10", output = "0.40" }\n'
    gateway = Gateway(session_folder, CONFIG + default)
    try:
        models = listed(Caller(gateway))
    finally:
        gateway.stop()
    assert models["unpriced"]["pricing"] == {"input": "0.1", "output": "0.4"}
    assert models["whole"]["pricing"] == WHOLE


def test_the_official_sdk_reads_it(shop: Gateway) -> None:
    client = openai.OpenAI(base_url=shop.base_url, api_key=shop.key, max_retries=0)
    models = {model.id: model for model in client.models.list()}
    assert len(models) == 5
    assert models["whole"].model_extra is not None
    assert models["whole"].model_extra["pricing"] == WHOLE
    assert client.models.retrieve("whole").object == "model"


# Made once


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def snapshot_of(*models: Model) -> Snapshot:
    return Snapshot(
        revision=1,
        models={model.id: model for model in models},
        targets={},
        names={model.id: model.id for model in models},
        normal_names={},
        vendor_prefixes=frozenset(),
        successors={},
    )


def test_it_is_made_once_for_as_long_as_it_holds() -> None:
    entries = (PriceEntry(rates=Rates(input=1)), PriceEntry(rates=Rates(input=2), valid_from=2_000))
    snapshot = snapshot_of(Model(id="m", vendor="v", price=Price(version="x", entries=entries)))
    asked: list[str] = []

    def price_of(model: Model) -> Price | None:
        asked.append(model.id)
        return model.price

    clock = Clock()
    listing = Listing(price_of, ModelsShown(id_form="bare", scope="key"), clock)
    anybody = Identity(
        key_id="k",
        project_id="p",
        organisation_id="o",
        disabled=False,
        expires_at=None,
        allowed_models=frozenset(),
        allowed_networks=(),
    )

    def shown(of: Snapshot) -> str:
        [entry] = msgspec.json.decode(listing.models(anybody, "", of))["data"]
        assert msgspec.json.decode(listing.model("m", anybody, "", of)) == entry
        return entry["pricing"]["input"]

    assert shown(snapshot) == shown(snapshot) == "0.000001"
    clock.now = 1_999.9
    assert shown(snapshot) == "0.000001"
    assert asked == ["m"]
    clock.now = 2_000.0
    assert shown(snapshot) == shown(snapshot) == "0.000002"
    clock.now = 1e10
    assert shown(snapshot) == "0.000002"
    assert asked == ["m", "m"]
    assert shown(snapshot_of(*snapshot.models.values())) == "0.000002"
    assert asked == ["m", "m", "m"]
