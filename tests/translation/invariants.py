"""What holds for a client's whole stream, by the names that the cases use. Each takes what the client has seen and
yields what is wrong with it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from .seeing import DONE, Frame, Seen

Wrong = Iterator[str]
Invariant = Callable[[Seen], Wrong]

INVARIANTS: dict[str, Invariant] = {}


def _invariant(function: Invariant) -> Invariant:
    INVARIANTS[function.__name__] = function
    return function


# Framing


def _events(seen: Seen) -> list[Frame]:
    return [frame for frame in seen.frames if not frame.is_comment]


@_invariant
def sse_data_only(seen: Seen) -> Wrong:
    """One line `data: ...` an event, and nothing else but comments."""
    for frame in _events(seen):
        if len(frame.lines) != 1 or not frame.lines[0].startswith("data: "):
            yield f"an event is not one line of data: {frame.lines}"


@_invariant
def sse_event_lines(seen: Seen) -> Wrong:
    """A line `event: TYPE` and a line `data: {"type": TYPE ...}` each."""
    for frame in _events(seen):
        names = [line.partition(": ")[0] for line in frame.lines]
        if names != ["event", "data"]:
            yield f"an event is not a name and data: {frame.lines}"
        elif not isinstance(frame.data, dict) or frame.event != frame.data.get("type"):
            yield f"an event's name is not its type: {frame.lines}"


@_invariant
def sse_data_space(seen: Seen) -> Wrong:
    """A space after `data:`."""
    for frame in _events(seen):
        for line in frame.lines:
            if line.startswith("data:") and not line.startswith("data: "):
                yield f"no space: {line[:80]}"


@_invariant
def no_event_lines(seen: Seen) -> Wrong:
    """Events have no names, ids or times."""
    for frame in _events(seen):
        for line in frame.lines:
            if not line.startswith("data:"):
                yield f"a line that is no data: {line[:80]}"


@_invariant
def no_comments(seen: Seen) -> Wrong:
    """No line begins with a colon."""
    for frame in seen.frames:
        for line in frame.lines:
            if line.startswith(":"):
                yield f"a comment: {line[:80]}"


@_invariant
def no_done(seen: Seen) -> Wrong:
    """No `[DONE]`."""
    if DONE in seen.chunks:
        yield "there is a [DONE]"


@_invariant
def done_last(seen: Seen) -> Wrong:
    """`[DONE]` once, and nothing after it, no comment either."""
    if seen.chunks.count(DONE) != 1:
        yield f"{seen.chunks.count(DONE)} times [DONE]"
    if not seen.frames or seen.frames[-1].is_comment or seen.frames[-1].data != DONE:
        yield "[DONE] is not last"


# OpenAI's chunks


def _openai_chunks(seen: Seen) -> list[dict[str, Any]]:
    """The chunks that are no error."""
    return [chunk for chunk in seen.chunks if isinstance(chunk, dict) and "error" not in chunk]


def _choices(seen: Seen) -> list[dict[str, Any]]:
    return [choice for chunk in _openai_chunks(seen) for choice in chunk["choices"]]


def _by_choice(seen: Seen) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for choice in _choices(seen):
        found.setdefault(choice["index"], []).append(choice)
    return found


@_invariant
def same_id(seen: Seen) -> Wrong:
    """One id, time and model in all chunks."""
    for name in ("id", "created", "model", "object"):
        values = {json.dumps(chunk.get(name)) for chunk in _openai_chunks(seen)}
        if len(values) != 1 or values == {"null"}:
            yield f"`{name}` is {sorted(values)}"


@_invariant
def role_once(seen: Seen) -> Wrong:
    """The first delta of each choice has the role, and no other has."""
    for index, choices in _by_choice(seen).items():
        places = [place for place, choice in enumerate(choices) if "role" in choice["delta"]]
        if places != [0]:
            yield f"choice {index} has its role in deltas {places}"


def _fragments(seen: Seen) -> Iterator[tuple[int, dict[str, Any]]]:
    for choice in _choices(seen):
        for fragment in choice["delta"].get("tool_calls") or ():
            yield choice["index"], fragment


@_invariant
def tool_header_once(seen: Seen) -> Wrong:
    """Id, type and name of a call stand in its first fragment and in no other; arguments are text."""
    begun = set()
    for choice, fragment in _fragments(seen):
        call = (choice, fragment.get("index"))
        function = fragment.get("function", {})
        given = {name for name in ("id", "type") if fragment.get(name)} | ({"name"} if function.get("name") else set())
        if call not in begun and given != {"id", "type", "name"}:
            yield f"call {call} begins with {sorted(given)} only"
        if call in begun and given:
            yield f"call {call} says its {sorted(given)} again"
        if not isinstance(function.get("arguments", ""), str):
            yield f"the arguments of {call} are no text"
        begun.add(call)


@_invariant
def tool_index_contiguous(seen: Seen) -> Wrong:
    """The calls of each choice are numbered from 0 in the order in which they begin."""
    numbers: dict[int, list[int]] = {}
    for choice, fragment in _fragments(seen):
        known = numbers.setdefault(choice, [])
        if fragment.get("index") not in known:
            known.append(fragment.get("index"))
    for choice, known in numbers.items():
        if known != list(range(len(known))):
            yield f"the calls of choice {choice} are numbered {known}"


@_invariant
def choice_index_zero(seen: Seen) -> Wrong:
    """There is no choice but the first."""
    if set(_by_choice(seen)) - {0}:
        yield f"choices {sorted(_by_choice(seen))}"


@_invariant
def finish_per_choice(seen: Seen) -> Wrong:
    """Each choice says null until it ends, and its reason once, with its last and empty delta."""
    for index, choices in _by_choice(seen).items():
        if not all("finish_reason" in choice for choice in choices):
            yield f"choice {index} leaves finish_reason out"
        places = [place for place, choice in enumerate(choices) if choice.get("finish_reason") is not None]
        if places != [len(choices) - 1]:
            yield f"choice {index} finishes at {places} of {len(choices)}"
        elif choices[-1]["delta"]:
            yield f"choice {index} ends with {choices[-1]['delta']}"


@_invariant
def single_finish(seen: Seen) -> Wrong:
    """The one choice finishes, once, at its end."""
    if set(_by_choice(seen)) != {0}:
        yield f"choices {sorted(_by_choice(seen))}"
    yield from finish_per_choice(seen)


@_invariant
def no_finish_reason(seen: Seen) -> Wrong:
    """No choice says that it is complete."""
    for choice in _choices(seen):
        if choice.get("finish_reason") is not None:
            yield f"a finish_reason: {choice['finish_reason']}"


@_invariant
def usage_last(seen: Seen) -> Wrong:
    """The last chunk has the usage and no choices; all before it say null."""
    *others, last = _openai_chunks(seen) or [{"choices": []}]
    if last["choices"] != [] or not last.get("usage"):
        yield f"the last chunk is {last}"
    for chunk in others:
        if chunk.get("usage", "absent") is not None:
            yield f"before the last chunk usage is {chunk.get('usage', 'absent')}"


@_invariant
def no_usage_anywhere(seen: Seen) -> Wrong:
    """No chunk has the member."""
    for chunk in _openai_chunks(seen):
        if "usage" in chunk:
            yield f"usage is {chunk['usage']}"
        if not chunk["choices"]:
            yield "a chunk has no choices"


# Anthropic's events

_DELTAS = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "redacted_thinking": (),
    "tool_use": ("input_json_delta",),
}


def _types(seen: Seen) -> list[str]:
    return [chunk["type"] for chunk in seen.chunks if isinstance(chunk, dict) and chunk.get("type") != "ping"]


@_invariant
def blocks_wellformed(seen: Seen) -> Wrong:
    """Blocks are numbered from 0, one after the other, each begun empty, with deltas of its own kind, and ended."""
    count, kind, texts = 0, None, []
    for chunk in seen.chunks:
        match chunk.get("type"):
            case "content_block_start":
                block = chunk["content_block"]
                if kind is not None:
                    yield f"block {chunk['index']} begins within another"
                if chunk["index"] != count:
                    yield f"block {count} is numbered {chunk['index']}"
                kind, texts = block["type"], []
                if block.get("text") or block.get("thinking") or block.get("input"):
                    yield f"block {count} begins with {block}"
            case "content_block_delta":
                delta = chunk["delta"]
                if kind is None or chunk["index"] != count:
                    yield f"a delta of block {chunk['index']} while {count} is at hand"
                elif delta["type"] not in _DELTAS.get(kind, ()):
                    yield f"a {delta['type']} in a block of {kind}"
                texts.append(delta)
            case "content_block_stop":
                if kind is None or chunk["index"] != count:
                    yield f"block {chunk['index']} ends while {count} is at hand"
                yield from _block_wrong(kind, texts)
                count, kind = count + 1, None
            case "message_delta" | "message_stop" if kind is not None:
                yield f"{chunk['type']} within block {count}"


def _block_wrong(kind: str | None, deltas: list[dict[str, Any]]) -> Wrong:
    """What is wrong with the deltas of a whole block."""
    types = [delta["type"] for delta in deltas]
    if kind == "thinking" and (types.count("signature_delta") != 1 or types[-1] != "signature_delta"):
        yield f"a thinking block does not end with its one signature: {types}"
    if kind == "tool_use":
        text = "".join(delta.get("partial_json", "") for delta in deltas)
        if text and not _is_object(text):
            yield f"the input of a tool is {text}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@_invariant
def single_message_start(seen: Seen) -> Wrong:
    """message_start once, before all else."""
    types = _types(seen)
    if types[:1] != ["message_start"] or types.count("message_start") != 1:
        yield f"message_start at {[place for place, name in enumerate(types) if name == 'message_start']}"


@_invariant
def ends_message_stop(seen: Seen) -> Wrong:
    """message_delta with the reason and the usage, then message_stop, once each, at the end."""
    types = _types(seen)
    if types[-2:] != ["message_delta", "message_stop"] or types.count("message_stop") != 1:
        yield f"the end is {types[-3:]}"
        return
    last = [chunk for chunk in seen.chunks if chunk["type"] == "message_delta"][-1]
    if not last["delta"].get("stop_reason") or not isinstance(last.get("usage", {}).get("output_tokens"), int):
        yield f"message_delta says {last}"


@_invariant
def no_message_stop(seen: Seen) -> Wrong:
    """The message is not said to be complete."""
    if "message_stop" in _types(seen):
        yield "there is a message_stop"


# The events of OpenAI's Responses

_PREFIXES = {"message": "msg_", "function_call": "fc_", "reasoning": "rs_", "image_generation_call": "ig_"}


@_invariant
def sequence_monotonic(seen: Seen) -> Wrong:
    """Numbered from 0 without gaps."""
    numbers = [chunk.get("sequence_number") for chunk in seen.chunks]
    if numbers != list(range(len(numbers))):
        yield f"the events are numbered {numbers}"


@_invariant
def items_announced(seen: Seen) -> Wrong:
    """Whatever is said of an item, or of a part of one, is said between its announcement and its end."""
    at_hand: dict[str, int] = {}
    parts: set[tuple[str, int]] = set()
    for chunk in seen.chunks:
        kind = chunk["type"]
        if kind == "response.output_item.added":
            at_hand[chunk["item"]["id"]] = chunk["output_index"]
        elif kind == "response.output_item.done":
            if at_hand.pop(chunk["item"]["id"], None) != chunk["output_index"]:
                yield f"item {chunk['item']['id']} ends and was not at hand"
        elif "item_id" in chunk:
            if at_hand.get(chunk["item_id"]) != chunk["output_index"]:
                yield f"{kind} of an item that is not at hand: {chunk['item_id']}"
            part = (chunk["item_id"], chunk.get("content_index", chunk.get("summary_index")))
            if kind.endswith("_part.added"):
                parts.add(part)
            elif part[1] is not None and part not in parts:
                yield f"{kind} of a part that was not announced: {part}"
    if at_hand and seen.chunks[-1]["type"] in ("response.completed", "response.incomplete"):
        yield f"items without an end: {sorted(at_hand)}"


@_invariant
def item_ids_stable(seen: Seen) -> Wrong:
    """An item keeps its id and its place, from its announcement to the whole response."""
    ids: list[str] = []
    for chunk in seen.chunks:
        kind = chunk["type"]
        if kind == "response.output_item.added":
            item = chunk["item"]
            if chunk["output_index"] != len(ids) or item["id"] in ids:
                yield f"item {item['id']} is announced at {chunk['output_index']} of {len(ids)}"
            if not item["id"].startswith(_PREFIXES.get(item["type"], "")):
                yield f"a {item['type']} is called {item['id']}"
            ids.append(item["id"])
        elif kind == "response.output_item.done" and ids[chunk["output_index"] :][:1] != [chunk["item"]["id"]]:
            yield f"item {chunk['output_index']} ends as {chunk['item']['id']}"
        elif kind in ("response.completed", "response.incomplete"):
            final = [item["id"] for item in chunk["response"]["output"]]
            if final != ids:
                yield f"the whole has {final}, announced were {ids}"
    responses = {chunk["response"]["id"] for chunk in seen.chunks if "response" in chunk}
    if len(responses) != 1:
        yield f"the response is called {sorted(responses)}"


# What holds for every stream that was translated, whether or not a case says so; the second list where it has not
# failed.
STANDING: dict[str, tuple[list[str], list[str]]] = {
    "openai": (
        ["sse_data_only", "done_last", "same_id", "tool_header_once", "tool_index_contiguous"],
        ["role_once", "finish_per_choice"],
    ),
    "anthropic": (["sse_event_lines", "no_done", "single_message_start"], ["blocks_wellformed", "ends_message_stop"]),
    "gemini": (["sse_data_space", "no_done", "no_comments", "no_event_lines"], []),
    "openai-responses": (["sse_event_lines", "sequence_monotonic", "items_announced", "item_ids_stable"], []),
}


def has_failed(seen: Seen) -> bool:
    """Whether a stream ends with an error."""
    return any(
        isinstance(chunk, dict) and ("error" in chunk or chunk.get("type") in ("error", "response.failed"))
        for chunk in seen.chunks
    )
