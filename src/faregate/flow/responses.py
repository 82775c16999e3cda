"""What the Responses API keeps: a response with all that came before it, for `previous_response_id` and look-ups.

It is kept in this process's memory alone, for an hour, bounded in bytes, the oldest first to go; never where the
client said `store: false`, or that nothing of the call may be kept (contract.md 3.4, 7.6). Everything is found under
its project: what is another's does not exist.
"""

import time
from collections.abc import Callable, Iterator

import msgspec

from ..core.call import Call
from ..core.errors import MalformedRequest, NotFound
from ..wire.sse import parse_frame

DIALECT = "openai_responses"
KEPT_FOR_S = 3_600.0
KEPT_BYTES_MAX = 256 * 1024 * 1024
_ENTRY_BYTES = 1_000  # what an entry weighs besides its texts
_NULL = msgspec.Raw(b"null")
_STRING = b'"'[0]


class _Output(msgspec.Struct):
    id: str
    output: list[msgspec.Raw] = []


class _Ending(msgspec.Struct):
    response: msgspec.Raw


class _Item(msgspec.Struct):
    type: str = "message"
    id: str | None = None
    encrypted_content: str | None = None


class Kept(msgspec.Struct, kw_only=True):
    """A response: its JSON, and the items before it and of it."""

    expires_at: float
    body: bytes
    items: tuple[msgspec.Raw, ...]
    output: tuple[msgspec.Raw, ...]
    size_bytes: int


_items_decoder = msgspec.json.Decoder(list[msgspec.Raw] | None)
_item_decoder = msgspec.json.Decoder(_Item)


class ResponseStates:
    """The responses of this process's projects. `clock` gives monotonic seconds."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self.size_bytes = 0
        self._bytes_max = bytes_max
        self._clock = clock
        self._kept: dict[tuple[str, str], Kept] = {}

    def find(self, project_id: str, response_id: str) -> Kept:
        """A project's response. NotFound."""
        kept = self._kept.get((project_id, response_id))
        if kept is None or kept.expires_at <= self._clock():
            raise NotFound(f"Response with id '{response_id}' not found.", param="response_id")
        return kept

    def delete(self, project_id: str, response_id: str) -> None:
        """Forget a project's response. NotFound."""
        self.find(project_id, response_id)
        self._drop((project_id, response_id))

    def recall(self, call: Call) -> tuple[msgspec.Raw, ...] | None:
        """Put what `previous_response_id` names before the input of a call; gives the items to keep, None where nothing
        is to be kept. MalformedRequest for an id that the project does not have."""
        if call.dialect != DIALECT:
            return None
        request = call.request
        members = request.members
        previous = msgspec.json.decode(members.get("previous_response_id", _NULL), type=str | None)
        is_kept = not call.no_retention and bytes(members.get("store", _NULL)) != b"false"
        items = tuple(_own_items(members.get("input", _NULL))) if previous is not None or is_kept else ()
        if previous is not None:
            try:
                kept = self.find(call.record.project_id, previous)
            except NotFound:
                message = f"Previous response with id '{previous}' not found."
                raise MalformedRequest(message, param="previous_response_id") from None
            items = (*kept.items, *(item for item in map(_given_back, kept.output) if item is not None), *items)
            written = msgspec.json.encode(items)
            added = len(written) - len(memoryview(members.get("input", _NULL)))
            members["input"] = msgspec.Raw(written)
            request.prompt_bytes += added
            request.text_bytes += added
            request.messages = len(items)
        return items if is_kept else None

    def keep(self, call: Call, items: tuple[msgspec.Raw, ...] | None, end: bytes) -> None:
        """Keep an answer of which `end` is the whole body, or the last event of its stream."""
        if items is None:
            return
        try:
            data = parse_frame(end).data if call.request.stream else end
            body = bytes(msgspec.json.decode(data or b"", type=_Ending).response) if call.request.stream else end
            response = msgspec.json.decode(body, type=_Output)
        except msgspec.DecodeError:
            return  # nothing that could be asked for again
        output = tuple(item.copy() for item in response.output)
        size = _ENTRY_BYTES + 2 * len(body) + sum(len(memoryview(item)) for item in items)
        self._drop((call.record.project_id, response.id))
        self._kept[call.record.project_id, response.id] = Kept(
            expires_at=self._clock() + KEPT_FOR_S, body=body, items=items, output=output, size_bytes=size
        )
        self.size_bytes += size
        self._make_room()

    def _make_room(self) -> None:
        now = self._clock()
        while self._kept:
            oldest = next(iter(self._kept))
            if self.size_bytes <= self._bytes_max and self._kept[oldest].expires_at > now:
                break
            self._drop(oldest)

    def _drop(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size_bytes -= kept.size_bytes


def _own_items(raw: msgspec.Raw) -> Iterator[msgspec.Raw]:
    """The items of an input; its bytes are let go of with the request."""
    if memoryview(raw)[0] == _STRING:
        content = b'[{"type":"input_text","text":%b}]' % bytes(raw)
        yield msgspec.Raw(b'{"type":"message","role":"user","content":%b}' % content)
        return
    for item in _items_decoder.decode(raw) or ():
        yield item.copy()


def _given_back(raw: msgspec.Raw) -> msgspec.Raw | None:
    """An item of an answer as part of the next input. Nobody else stores it, so a thought that cannot be proved cannot
    be shown, and no provider may be pointed to it by its id."""
    item = _item_decoder.decode(raw)
    if item.type == "reasoning" and not item.encrypted_content:
        return None
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    if item.type == "reasoning":
        members.pop("id", None)
        members.pop("status", None)
    return msgspec.Raw(msgspec.json.encode(members))
