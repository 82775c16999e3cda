"""Tool calls of a repaired answer, streamed or whole: which fragment belongs to which call, and how each is
written.

In a stream a call is told by its upstream index and its id, and where those do not tell by its name:
upstreams put every call on index 0, leave ids or indexes out, repeat the header in each fragment, or make up
a new id for each. A fragment with a name is a header; it opens a call unless it repeats the one it is found
on. `{}` as a call's first arguments is held back, because some mean "none yet" by it; it is said when another
call begins or the answer ends.
"""

import msgspec

from ...wire.messages import BadMessage
from .repair_rules import Members, id_of, made_call_id

CALLS_MAX = 1024

_NO_ARGUMENTS = "{}"
_TEXT_MEMBER = {"function": "arguments", "custom": "input"}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Call:
    """One call of a stream. `only` is its text while that came in a single fragment."""

    __slots__ = ("given_id", "has_text", "index", "key", "kind", "name", "only")

    def __init__(self, index: int, key: int | None, kind: str, given_id: str | None, name: str) -> None:
        self.index = index
        self.key = key
        self.kind = kind
        self.given_id = given_id
        self.name = name
        self.only: str | None = None
        self.has_text = False


class _Fragment:
    """One entry of an upstream's `tool_calls`, taken apart."""

    __slots__ = ("body", "entry", "given_id", "is_later_sibling", "key", "kind", "name", "text")

    def __init__(self, entry: Members, position: int) -> None:
        self.entry = entry
        self.kind = kind_of(entry)
        body = entry.get(self.kind)
        self.body: Members = body if isinstance(body, dict) else {}
        name = self.body.get("name")
        self.name = name if isinstance(name, str) else ""
        self.text = text_of(self.body.get(_TEXT_MEMBER[self.kind]))
        self.given_id = id_of(entry.get("id"))
        index = entry.get("index")
        self.key = index if type(index) is int else None
        self.is_later_sibling = position > 0 and self.key is None


class ToolCalls:
    """The calls of one choice of a stream."""

    __slots__ = ("_by_id", "_by_key", "_calls", "_held")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_key: dict[int | None, _Call] = {}
        self._held: _Call | None = None  # the call whose "{}" is held back

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, entries: object) -> list[Members]:
        """The entries to send for those that came; they are rewritten in place."""
        sent: list[Members] = []
        if isinstance(entries, list):
            for position, entry in enumerate(entries):
                if isinstance(entry, dict):
                    self._take(_Fragment(entry, position), sent)
        return sent

    def close(self) -> list[Members]:
        """The arguments of the calls that came without."""
        without = [call for call in self._calls if call.kind == "function" and not call.has_text]
        return [_arguments(call.index, _NO_ARGUMENTS) for call in without]

    def _take(self, fragment: _Fragment, sent: list[Members]) -> None:
        call = self._find(fragment)
        if call is None and not (fragment.name or fragment.given_id or fragment.text):
            return
        held = self._held
        if held is not None and held is not call:
            held.has_text = True
            self._held = None
            sent.append(_arguments(held.index, _NO_ARGUMENTS))
        if call is None:
            sent.append(self._open(fragment))
        elif not _says_again(call, fragment):
            self._continue(call, fragment, sent)

    def _find(self, fragment: _Fragment) -> _Call | None:
        """The call that a fragment continues; None where it opens one."""
        current = self._by_key.get(fragment.key)
        given_id, name = fragment.given_id, fragment.name
        if given_id and not (current and current.given_id == given_id):
            known = self._by_id.get(given_id)
            if known is not None and (known.key == fragment.key or fragment.key is None or not name):
                current = known
            elif name and current is not None and current.given_id:
                return None
        if current is None:
            # Fragments may have an index where their header had none, and the other way round.
            return self._calls[-1] if self._calls and not name and not given_id else None
        if not name:
            return current
        is_named_otherwise = current.name and current.name != name
        is_same_id = current.given_id and current.given_id == given_id
        if not is_same_id and (fragment.is_later_sibling or is_named_otherwise):
            return None
        return None if _begins_anew(current, fragment) else current

    def _open(self, fragment: _Fragment) -> Members:
        if len(self._calls) >= CALLS_MAX:
            raise BadMessage("more tool calls than the cap")
        given_id, text = fragment.given_id, fragment.text
        call = _Call(len(self._calls), fragment.key, fragment.kind, given_id, fragment.name)
        self._calls.append(call)
        self._by_key[fragment.key] = call
        shown_id = given_id
        if given_id is None or given_id in self._by_id:
            shown_id = made_call_id()
        if given_id is not None:
            self._by_id.setdefault(given_id, call)
        if text:
            call.only = text
            if text == _NO_ARGUMENTS and fragment.kind == "function":
                self._held = call
                text = ""
            else:
                call.has_text = True
        entry, body = fragment.entry, fragment.body
        body["name"] = fragment.name
        body[_TEXT_MEMBER[fragment.kind]] = text
        entry["index"] = call.index
        entry["id"] = shown_id
        entry["type"] = fragment.kind
        entry[fragment.kind] = body
        return entry

    def _continue(self, call: _Call, fragment: _Fragment, sent: list[Members]) -> None:
        entry, body, text = fragment.entry, fragment.body, fragment.text
        entry.pop("id", None)
        entry.pop("type", None)
        body.pop("name", None)
        if call.given_id is None and fragment.given_id is not None:
            call.given_id = fragment.given_id
            self._by_id.setdefault(fragment.given_id, call)
        if fragment.name and not call.name:
            call.name = body["name"] = fragment.name
        if text:
            if self._held is call:
                self._held = None
            call.only = None if call.has_text else text
            call.has_text = True
        entry["index"] = call.index
        body[_TEXT_MEMBER[call.kind]] = text
        entry[call.kind] = body
        if text or len(entry) > 2 or len(body) > 1:
            sent.append(entry)


def kind_of(entry: Members) -> str:
    """Which kind of call an entry is of."""
    return "custom" if isinstance(entry.get("custom"), dict) else "function"


def text_of(raw: object) -> str:
    """Arguments as text, whatever they came as."""
    if isinstance(raw, str):
        return raw
    return "" if raw is None else _encode(raw).decode()


def whole_calls(raw: object) -> list[Members]:
    """The calls of a whole answer, rewritten in place: each has its own id, a type, and arguments as text."""
    entries = [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []
    ids: set[str] = set()
    for entry in entries:
        given_id = id_of(entry.get("id"))
        if given_id is None or given_id in ids:
            given_id = made_call_id()
        ids.add(given_id)
        kind = kind_of(entry)
        body = entry.get(kind)
        body = body if isinstance(body, dict) else {}
        if not isinstance(body.get("name"), str):
            body["name"] = ""
        member = _TEXT_MEMBER[kind]
        text = text_of(body.get(member))
        body[member] = text if text.strip() or kind == "custom" else _NO_ARGUMENTS
        entry.update({"id": given_id, "type": kind, kind: body})
        entry.pop("index", None)
    return entries


def _arguments(index: int, text: str) -> Members:
    return {"index": index, "function": {"arguments": text}}


def _says_again(call: _Call, fragment: _Fragment) -> bool:
    """Whether a fragment is its whole call once more."""
    is_same = fragment.given_id and fragment.name and fragment.text and fragment.text == call.only
    return bool(is_same) and _is_object(fragment.text)


def _begins_anew(call: _Call, fragment: _Fragment) -> bool:
    """Whether a fragment with a header like the call's own is another call: each is whole, the two are not.

    Where the upstream gives ids, `{}` followed by more is one call, and so is the same text with the same id.
    """
    only, text = call.only, fragment.text
    if call.kind != "function" or not only or not text.lstrip().startswith("{"):
        return False
    if call.given_id and (only == _NO_ARGUMENTS or (fragment.given_id and only == text)):
        return False
    return _is_object(only)


def _is_object(text: str) -> bool:
    try:
        return isinstance(_decode(text), dict)
    except (msgspec.MsgspecError, RecursionError):
        return False
