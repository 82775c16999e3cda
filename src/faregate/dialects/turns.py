"""A conversation in turns, for providers that want it so: instructions apart, neighbours of one role as one, a result
for each call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..core.conversation import Foreign, Media, Message, Part, Role, Text, Thinking, ToolCall, ToolResult
from ..core.errors import Inexpressible

_INSTRUCTING = frozenset({"system", "developer"})
_NO_RESULT = "There is no result of this call."


class Turn(NamedTuple):
    """What the user or the model says before the other does. `calls` are the ids of those in the turn before; `is_last`
    says that the model is to go on with it."""

    role: Role
    parts: list[Part]
    calls: Sequence[str] = ()
    is_last: bool = False


def instructions_of(messages: Iterable[Message]) -> Iterator[Part]:
    """What the system and the developer say, wherever they say it."""
    return (part for message in messages if message.role in _INSTRUCTING for part in message.parts)


def turns_of(messages: Iterable[Message]) -> list[Turn]:
    """What the user and the model say, by turns."""
    joined: list[tuple[Role, list[Part]]] = []
    for message in messages:
        if message.role in _INSTRUCTING:
            continue
        if joined and joined[-1][0] == message.role:
            joined[-1][1].extend(message.parts)
        else:
            joined.append((message.role, list(message.parts)))
    calls = [[part.id for part in parts if isinstance(part, ToolCall)] for _, parts in joined]
    return [
        Turn(role, parts, calls[place - 1] if place else (), place == len(joined) - 1)
        for place, (role, parts) in enumerate(joined)
    ]


def results_of(turn: Turn, *, states_errors: bool = True) -> list[ToolResult]:
    """The results of the calls before a turn, in their order, one for each; then those of no call. One that was not
    given is an error, where the provider `states_errors`."""
    results = {part.call_id: part for part in turn.parts if isinstance(part, ToolResult)}
    order = [*turn.calls, *(call_id for call_id in results if call_id not in turn.calls)]
    return [
        results.get(call_id) or ToolResult(call_id=call_id, parts=(Text(_NO_RESULT),), is_error=states_errors)
        for call_id in order
    ]


def said_of(turn: Turn) -> list[Part]:
    """What the model said in its turn, its thoughts and pictures left out; where it is to go on, without white space at
    the end, which providers refuse."""
    said: list[Part] = [part for part in turn.parts if not isinstance(part, Thinking | Media)]
    if turn.is_last and said and isinstance(said[-1], Text):
        said[-1] = msgspec.structs.replace(said[-1], text=said[-1].text.rstrip())
    return said


def has_unproven_calls(messages: Sequence[Message], signed_by: str) -> bool:
    """Whether the newest calls have lost the thoughts, `signed_by` a dialect, that led to them."""
    for message in reversed(messages):
        if message.role == "assistant" and any(isinstance(part, ToolCall) for part in message.parts):
            return not any(isinstance(part, Thinking) and part.signed_by == signed_by for part in message.parts)
    return False


def alternating(turns: Iterable[Turn], blocks_of: Callable[[Turn], Sequence[object]]) -> list[dict[str, object]]:
    """The messages of turns, whose content are blocks: one of which nothing is left is left out, and its neighbours are
    one. Inexpressible where the user's is not the first."""
    written: list[tuple[Role, list[object]]] = []
    for turn in turns:
        blocks = blocks_of(turn)
        if blocks and written and written[-1][0] == turn.role:
            written[-1][1].extend(blocks)
        elif blocks:
            written.append((turn.role, list(blocks)))
    if not written or written[0][0] != "user":
        raise Inexpressible("The first message for the provider of this model must be the user's.", param="messages")
    return [{"role": role, "content": content} for role, content in written]


def unsayable(part: Part) -> Inexpressible:
    """The error for a part that has no place in a message."""
    if isinstance(part, Foreign):
        return Inexpressible(f"The provider of this model cannot be told '{part.name}'.", param=part.path or "messages")
    kind = part.__struct_config__.tag
    return Inexpressible(f"A message of this role cannot hold a part of type '{kind}'.", param="messages")
