"""GET /v1/models as clients of Anthropic and Gemini read it (contract.md 1.10, conformance.md 1.8)."""

import datetime
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ..core.catalog import Model

_GEMINI_METHODS = {  # of chat models, and by which route each is served
    method: f"/models/{{id}}:{method}" for method in ("generateContent", "countTokens")
}

Members = dict[str, object]


class ForeignListing(NamedTuple):
    """How a dialect lists models: all of them, and one by the name that was asked for. Both are told which routes the
    house has switched off, by name."""

    all: Callable[[Sequence[Model], Collection[str]], Members]
    one: Callable[[Model, str, Collection[str]], Members]


def _anthropic(model: Model, name: str, _: Collection[str] = ()) -> Members:
    created = datetime.datetime.fromtimestamp(model.created, datetime.UTC)
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
    }


def _anthropic_list(models: Sequence[Model], _: Collection[str]) -> Members:
    ids = [model.id for model in models]
    return {
        "data": [_anthropic(model, model.id) for model in models],
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _gemini(model: Model, name: str, off: Collection[str]) -> Members:
    members: Members = {"name": f"models/{name}", "displayName": name, "version": model.family or name}
    if model.context_window is not None:
        members["inputTokenLimit"] = model.context_window
    if model.max_output_tokens is not None:
        members["outputTokenLimit"] = model.max_output_tokens
    served = [method for method, route in _GEMINI_METHODS.items() if route not in off]
    return members | {"supportedGenerationMethods": served if model.kind == "chat" else []}


def _gemini_list(models: Sequence[Model], off: Collection[str]) -> Members:
    return {"models": [_gemini(model, model.id, off) for model in models]}


LISTINGS = {
    "anthropic_messages": ForeignListing(_anthropic_list, _anthropic),
    "gemini_generate": ForeignListing(_gemini_list, _gemini),
}
