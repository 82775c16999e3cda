"""Whether a conversation is one that OpenAI takes: calls and their results. Source: the errors of its live API."""

from collections.abc import Sequence
from typing import Any, Protocol

from ..refused import Refused


class Said(Protocol):
    """A message, as far as it matters here."""

    @property
    def role(self) -> str:
        """Who speaks."""
        ...

    @property
    def tool_calls(self) -> list[dict[str, Any]] | None:
        """The calls it makes."""
        ...

    @property
    def tool_call_id(self) -> str | None:
        """The call it is the result of."""
        ...


def check(messages: Sequence[Said]) -> None:
    """Refused where a result has no call right before it, or a call no result right after."""
    called: set[str] = set()
    waiting: list[str] = []
    for position, message in enumerate(messages):
        if message.role == "tool":
            _check_result(message, position, called)
            waiting = [each for each in waiting if each != message.tool_call_id]
            continue
        _check_answered(waiting, position)
        waiting = [str(call.get("id")) for call in message.tool_calls or ()]
        called = set(waiting)
    _check_answered(waiting, len(messages))


def _check_result(message: Said, position: int, called: set[str]) -> None:
    if message.tool_call_id is None:
        said = "Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'."
        raise Refused(said, param=f"messages.[{position}].tool_call_id")
    if message.tool_call_id not in called:
        said = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        raise Refused(f"Invalid parameter: {said}", param=f"messages.[{position}].role")


def _check_answered(waiting: list[str], position: int) -> None:
    if waiting:
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
            " 'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(waiting),
            param=f"messages.[{position}].role",
        )
