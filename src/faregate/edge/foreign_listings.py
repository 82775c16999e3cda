"""GET /v1/models as clients of Anthropic and Gemini read it, page by page (contract.md 1.10, conformance.md 1.8)."""

import base64
import binascii
import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from ..core.catalog import Model
from ..core.errors import MalformedRequest

_GEMINI_METHODS = {  # of chat models, and by which route each is served
    method: f"/models/{{id}}:{method}" for method in ("generateContent", "countTokens")
}
# How many models a page has: as Anthropic's API reference has it (Models, List Models), and Google's (models.list).
_ANTHROPIC_PAGE, _ANTHROPIC_PAGE_MAX = 20, 1000
_GEMINI_PAGE, _GEMINI_PAGE_MAX = 50, 1000
_INT32_MAX = 2**31 - 1
_DIGITS_MAX = 10

Members = dict[str, object]
Query = Mapping[str, str]


class ForeignListing(NamedTuple):
    """How a dialect lists models: the page of them that a query asks for, and one by the name that was asked for. Both
    are told which routes the house has switched off, by name. `page` raises MalformedRequest."""

    page: Callable[[Sequence[Model], Query, Collection[str]], Members]
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


def _anthropic_page(models: Sequence[Model], query: Query, _: Collection[str]) -> Members:
    """`has_more` tells of the direction that is asked for."""
    ids = [model.id for model in models]
    size = _whole_number(query, "limit", _ANTHROPIC_PAGE, 1, _ANTHROPIC_PAGE_MAX)
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise MalformedRequest("'after_id' and 'before_id' must not both be given.", param="before_id")
    if before:
        end = _place(ids, before, "before_id")
        start = max(0, end - size)
        has_more = start > 0
    else:
        start = _place(ids, after, "after_id") + 1 if after else 0
        end = start + size
        has_more = end < len(ids)
    shown = ids[start:end]
    return {
        "data": [_anthropic(model, model.id) for model in models[start:end]],
        "has_more": has_more,
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }


def _gemini(model: Model, name: str, off: Collection[str]) -> Members:
    members: Members = {"name": f"models/{name}", "displayName": name, "version": model.family or name}
    if model.context_window is not None:
        members["inputTokenLimit"] = model.context_window
    if model.max_output_tokens is not None:
        members["outputTokenLimit"] = model.max_output_tokens
    served = [method for method, route in _GEMINI_METHODS.items() if route not in off]
    return members | {"supportedGenerationMethods": served if model.kind == "chat" else []}


def _gemini_page(models: Sequence[Model], query: Query, off: Collection[str]) -> Members:
    """The token of a next page is the name of the last model of this one, encoded; there is none behind the last. More
    than a page may have is no error, and 0 is as if nothing was said."""
    ids = [model.id for model in models]
    size = _whole_number(query, "pageSize", 0, 0, _INT32_MAX) or _GEMINI_PAGE
    token = query.get("pageToken")
    start = _place(ids, _read_token(token), "pageToken") + 1 if token else 0
    page = models[start : start + min(size, _GEMINI_PAGE_MAX)]
    members: Members = {"models": [_gemini(model, model.id, off) for model in page]}
    if page and page[-1] is not models[-1]:
        members["nextPageToken"] = base64.urlsafe_b64encode(page[-1].id.encode()).decode()
    return members


def _read_token(token: str) -> str:
    """The name in a token, empty where none is."""
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        return ""


def _place(ids: Sequence[str], given: str, name: str) -> int:
    """Where the model stands that a cursor names. MalformedRequest where it is none of the list."""
    try:
        return ids.index(given)
    except ValueError:
        raise MalformedRequest(f"'{name}' is none that this list has given.", param=name) from None


def _whole_number(query: Query, name: str, default: int, least: int, most: int) -> int:
    """A parameter of the query that is a whole number. MalformedRequest."""
    given = query.get(name)
    if given is None:
        return default
    is_number = given.isascii() and given.isdigit() and len(given) <= _DIGITS_MAX
    if not is_number or not least <= int(given) <= most:
        raise MalformedRequest(f"'{name}' must be a whole number from {least} to {most}.", param=name)
    return int(given)


LISTINGS = {
    "anthropic_messages": ForeignListing(_anthropic_page, _anthropic),
    "gemini_generate": ForeignListing(_gemini_page, _gemini),
}
