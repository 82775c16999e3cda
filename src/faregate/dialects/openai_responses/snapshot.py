"""A `response` object as the client's SDK wants it: what was asked is echoed, complete (conformance.md 1.9)."""

import secrets
import time
from typing import Any

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.conversation import FinishReason
from ...core.usage import Usage
from .usage import write_usage

_DEFAULTS: dict[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def new_id(prefix: str) -> str:
    """A new id of a response or an item: rs_, msg_, fc_, ig_, resp_."""
    return f"{prefix}_{secrets.token_hex(24)}"


class Snapshot:
    """One response, as it stands at any moment."""

    def __init__(self, request: ChatRequest) -> None:
        given = request.members
        self._asked = request.model
        self._echoed = {
            name: given[name] if name in given and bytes(given[name]) != b"null" else default
            for name, default in _DEFAULTS.items()
        }
        self._echoed["store"] = bytes(given.get("store", b"")) != b"false"
        self._id = new_id("resp")
        self._created_at = int(time.time())
        self.model = ""

    def named(self, provider_id: str) -> None:
        """Called after the provider's own id, where it gives one, so that the two can be told to belong together."""
        if provider_id:
            self._id = provider_id if provider_id.startswith("resp_") else f"resp_{provider_id}"

    def at_start(self) -> dict[str, Any]:
        """While it is being made."""
        return self._members("in_progress", None, [], None)

    def at_end(self, reason: FinishReason, output: list[Any], usage: Usage | None) -> dict[str, Any]:
        """When it is whole, or was cut."""
        cause = _INCOMPLETE.get(reason)
        return self._members("incomplete" if cause else "completed", cause, output, usage)

    def _members(self, status: str, cause: str | None, output: list[Any], usage: Usage | None) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "background": False,
            "completed_at": int(time.time()) if status == "completed" else None,
            "error": None,
            "incomplete_details": {"reason": cause} if cause else None,
            "model": model_shown(self.model, self._asked),
            "output": output,
            "usage": write_usage(usage),
            **self._echoed,
        }


def as_raw(value: object) -> msgspec.Raw:
    """JSON of a value."""
    return msgspec.Raw(msgspec.json.encode(value))
