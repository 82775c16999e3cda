"""The gateway that all cases are put to: a model and a route for each, a provider for each dialect."""

import json
from collections.abc import Iterable

from tests.running.upstreams import Upstream

from .cases import UPSTREAMS, Case

PROVIDER_KEY = "provider-secret-key"
_PATHS = {"bedrock": "", "cohere": "/v2", "gemini": "/v1beta"}
_KINDS = {"bedrock"}  # which have a wire of their own
_WIRES = ("exact", "compatible")


def provider_name(case: Case) -> str:
    """What the settings call the provider of a case."""
    return f"up-{case.upstream}-{case.wire}"


def settings_for(cases: Iterable[Case], upstream: Upstream) -> str:
    """A settings file for the cases."""
    address = f"http://127.0.0.1:{upstream.port}"
    tables = [
        f'[providers.up-{name}-{wire}]\nbase_url = "{address}{_PATHS.get(name, "/v1")}"\nkey = "{PROVIDER_KEY}"\n'
        + (f'kind = "{name}"' if name in _KINDS else f'dialect = "{dialect}"\nwire = "{wire}"')
        for name, dialect in UPSTREAMS.items()
        for wire in _WIRES
    ]
    return "\n\n".join([*tables, *(_model_of(case) for case in cases)]) + "\n"


def _model_of(case: Case) -> str:
    facts = "".join(f"{name} = {value}\n" for name, value in case.model_facts.items())
    capabilities = ", ".join(f"{name} = {json.dumps(value)}" for name, value in case.capabilities.items())
    return (
        f'[models."{case.model}"]\n{facts}capabilities = {{ {capabilities} }}\n'
        f'[[routes]]\nmodel = "{case.model}"\nprovider = "{provider_name(case)}"\n'
        f'upstream_model = "{case.upstream_model}"'
    )
