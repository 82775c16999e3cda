"""Cohere's models, where its key is in the environment."""

import pytest

from faregate.dialects.table import UPSTREAMS
from faregate.providers.active import active_providers
from faregate.settings import load_settings
from faregate.stores.catalog import build_snapshot


@pytest.mark.parametrize("variable", ["CO_API_KEY", "COHERE_API_KEY"])
def test_its_models_go_to_it_at_its_prices(variable: str) -> None:
    settings = load_settings(None)
    providers = active_providers(settings, {variable: "secret"})
    assert list(providers) == ["cohere"]
    assert [UPSTREAMS[name].name for name in providers["cohere"].dialects] == ["cohere_chat", "cohere_embeddings"]
    assert b"authorization: Bearer secret" in providers["cohere"].fields
    assert providers["cohere"].path_of("/chat", "x") == "/v2/chat"
    snapshot = build_snapshot(settings, providers, {})
    for name in ("command-r-plus", "command-a", "cohere/command-a-plus", "command-r", "command-r7b"):
        model = snapshot.models[snapshot.resolve(name) or ""]
        assert [target.provider for target in snapshot.targets[model.id]] == ["cohere"]
        assert model.price is not None
        assert model.price.entries[0].rates.input and model.price.entries[0].rates.output


def test_its_own_variable_comes_first() -> None:
    providers = active_providers(load_settings(None), {"CO_API_KEY": "one", "COHERE_API_KEY": "other"})
    assert b"Bearer one" in providers["cohere"].fields
