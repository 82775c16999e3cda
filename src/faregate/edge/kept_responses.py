"""GET and DELETE /v1/responses/{id}, its input items, and why it cannot be cancelled: what was kept of an answer
(contract.md 1.12)."""

import hashlib
from collections.abc import Mapping

import msgspec

from ..core.errors import MalformedRequest, NotFound
from ..flow.responses import ResponseStates

_PAGE_MAX = 100
_PAGE = 20
_INPUT_ITEMS = "input_items"


async def answer(
    states: ResponseStates, method: str, argument: str, project_id: str, query: Mapping[str, str]
) -> bytes:
    """The body for a look-up. NotFound, MalformedRequest, Overloaded."""
    response_id, _, rest = argument.partition("/")
    if rest == _INPUT_ITEMS and method != "DELETE":
        return _input_items((await states.find(project_id, response_id)).items, query)
    if method == "POST":  # to cancel it: there are none in the background
        await states.find(project_id, response_id)
        raise MalformedRequest("Cannot cancel a synchronous response.")
    if rest:
        raise NotFound("There is no such path of a response.")
    if method == "DELETE":
        await states.delete(project_id, response_id)
        return msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})
    if query.get("stream") == "true":
        raise MalformedRequest("A kept response cannot be streamed.", param="stream")
    return (await states.find(project_id, response_id)).body


def _input_items(items: tuple[bytes, ...], query: Mapping[str, str]) -> bytes:
    """A page of the items, newest first unless `order` is "asc"."""
    listed = [_with_id(item, index) for index, item in enumerate(items)]
    if query.get("order", "desc") != "asc":
        listed.reverse()
    ids = [str(item["id"]) for item in listed]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    given = query.get("limit", str(_PAGE))
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= _PAGE_MAX:
        raise MalformedRequest(f"'limit' must be 1 to {_PAGE_MAX}.", param="limit")
    page = listed[start : start + int(given)]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + len(page) < len(listed),
        }
    )


def _with_id(raw: bytes, index: int) -> dict[str, object]:
    """An item with an id, the same at each look; one that came as text alone has its parts."""
    item = msgspec.json.decode(raw, type=dict[str, object])
    item.setdefault("type", "message")
    item.setdefault("id", f"msg_{hashlib.sha256(b'%d:%b' % (index, raw)).hexdigest()[:48]}")
    if isinstance(item.get("content"), str):
        item["content"] = [{"type": "input_text", "text": item["content"]}]
    return item
