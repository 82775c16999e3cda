"""What the Responses API keeps: a response with all that came before it, for `previous_response_id`, references to its
items, and look-ups.

It is kept for an hour (stores/kept_responses.py), never where the client said `store: false` or that nothing may be
kept (contract.md 7.6). Everything is found under its project: what is another's does not exist.
"""

from collections.abc import Iterator

import msgspec

from ..core.call import Call
from ..core.errors import MalformedRequest, NotFound
from ..dialects.openai_responses.request import replace_input
from ..stores.kept_responses import KeptResponse, MemoryShelf, Shelf
from ..wire.sse import parse_frame

DIALECT = "openai_responses"
_NULL = msgspec.Raw(b"null")
_LIST, _STRING = b"["[0], b'"'[0]
_REFERENCE = "item_reference"
_REFERENCE_MEMBER = b'"item_reference"'


class _Output(msgspec.Struct):
    id: str
    output: list[msgspec.Raw] = []


class _Ending(msgspec.Struct):
    response: msgspec.Raw


class _Item(msgspec.Struct):
    type: str = "message"
    id: str | None = None
    encrypted_content: str | None = None


_items_decoder = msgspec.json.Decoder(list[msgspec.Raw] | None)
_item_decoder = msgspec.json.Decoder(_Item)


class ResponseStates:
    """The responses that projects may go on from."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf: Shelf = shelf or MemoryShelf()

    async def find(self, project_id: str, response_id: str) -> KeptResponse:
        """A project's response. NotFound, Overloaded."""
        kept = await self._shelf.find(project_id, response_id)
        if kept is None:
            raise NotFound(f"Response with id '{response_id}' not found.", param="response_id")
        return kept

    async def delete(self, project_id: str, response_id: str) -> None:
        """Forget a project's response. NotFound, Overloaded."""
        await self.find(project_id, response_id)
        await self._shelf.delete(project_id, response_id)

    async def recall(self, call: Call) -> tuple[bytes, ...] | None:
        """Put what `previous_response_id` names before the input of a call, and items where it refers to them; gives
        the items to keep, None where nothing is to be kept. MalformedRequest and NotFound for what the project does not
        have, Overloaded."""
        members, project_id = call.request.members, call.record.project_id
        given = bytes(members.get("input", _NULL))
        previous = msgspec.json.decode(members.get("previous_response_id", _NULL), type=str | None)
        is_kept = bytes(members.get("store", _NULL)) != b"false" and not call.no_retention
        refers = _may_refer(given)
        if previous is None and not refers and not is_kept:
            return None
        items = tuple(_own_items(given))
        if refers:
            items = tuple([await self._referred(project_id, item) for item in items])
        if previous is not None:
            items = (*await self._before(project_id, previous), *items)
        if refers or previous is not None:
            replace_input(call.request, items)
        return items if is_kept else None

    async def keep(self, call: Call, items: tuple[bytes, ...], end: bytes) -> None:
        """Keep an answer of which `end` is the whole body, or the last event of its stream."""
        try:
            data = parse_frame(end).data if call.request.stream else end
            body = bytes(msgspec.json.decode(data or b"", type=_Ending).response) if call.request.stream else end
            response = msgspec.json.decode(body, type=_Output)
            ids = tuple(_item_decoder.decode(item).id or "" for item in response.output)
        except msgspec.DecodeError:
            return  # nothing that could be asked for again
        kept = KeptResponse(body, items, tuple(bytes(item) for item in response.output), ids)
        await self._shelf.put(call.record.project_id, response.id, kept)

    async def _before(self, project_id: str, previous: str) -> Iterator[bytes]:
        kept = await self._shelf.find(project_id, previous)
        if kept is None:
            message = f"Previous response with id '{previous}' not found."
            raise MalformedRequest(message, param="previous_response_id")
        return (item for item in (*kept.items, *map(_given_back, kept.output)) if item is not None)

    async def _referred(self, project_id: str, item: bytes) -> bytes:
        """An item, or the one that it refers to. NotFound in OpenAI's words; so is a thought that cannot be proved."""
        try:
            said = _item_decoder.decode(item)
        except msgspec.ValidationError:
            return item  # whoever reads it says what is wrong with it
        if said.type != _REFERENCE:
            return item
        found = await self._shelf.find_item(project_id, said.id or "")
        meant = None if found is None else _given_back(found)
        if meant is None:
            message = f"Item with id '{said.id}' not found. Items are not persisted when `store` is set to false."
            raise NotFound(message, param="input")
        return meant


def _may_refer(given: bytes) -> bool:
    """Whether items of an input are references; its letters may be written as their numbers."""
    if _REFERENCE_MEMBER in given:
        return True
    return given[0] == _LIST and given.find(b"\\u00") >= 0 and any(map(_is_reference, _own_items(given)))


def _is_reference(item: bytes) -> bool:
    try:
        return _item_decoder.decode(item).type == _REFERENCE
    except msgspec.ValidationError:
        return False


def _own_items(raw: bytes) -> Iterator[bytes]:
    """The items of an input; its bytes are let go of with the request."""
    if raw[0] == _STRING:
        content = b'[{"type":"input_text","text":%b}]' % raw
        yield b'{"type":"message","role":"user","content":%b}' % content
        return
    for item in _items_decoder.decode(raw) or ():
        yield bytes(item)


def _given_back(raw: bytes) -> bytes | None:
    """An item of an answer as part of the next input. Nobody else stores it, so a thought that cannot be proved cannot
    be shown, and no provider may be pointed to it by its id."""
    item = _item_decoder.decode(raw)
    if item.type == "reasoning" and not item.encrypted_content:
        return None
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    if item.type == "reasoning":
        members.pop("id", None)
        members.pop("status", None)
    return msgspec.json.encode(members)
