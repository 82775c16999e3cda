"""What the client of a case sees: its answer, and the frames of it where it is a stream."""

import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.running.client import Answer

DONE = "[DONE]"


@dataclass(frozen=True)
class Frame:
    """A server-sent event as it was written: its lines, and what is in them."""

    lines: tuple[str, ...]

    def values(self, name: str) -> list[str]:
        """What stands in the lines of that name, one space after the colon taken off."""
        start = name + ":"
        return [line.removeprefix(start).removeprefix(" ") for line in self.lines if line.startswith(start)]

    @property
    def is_comment(self) -> bool:
        return all(line.startswith(":") for line in self.lines)

    @property
    def event(self) -> str | None:
        return next(iter(self.values("event")), None)

    @property
    def data(self) -> Any:
        """The JSON value, or `[DONE]`; None where it has no data."""
        values = self.values("data")
        text = "\n".join(values)
        return None if not values else DONE if text == DONE else json.loads(text)


@dataclass
class Seen:
    """An answer. `frames` are of a stream of events; `chunks` what its events say, or the entries of a JSON array."""

    answer: Answer
    frames: list[Frame] = field(default_factory=list)
    chunks: list[Any] = field(default_factory=list)

    @property
    def is_stream(self) -> bool:
        return (self.answer.header("content-type") or "").startswith("text/event-stream")

    def response(self) -> dict[str, Any]:
        """As a case's expectation has it."""
        raw = bytes(self.answer.body)
        found: dict[str, Any] = {"status": self.answer.status, "headers": dict(self.answer.fields)}
        found["raw_body"] = raw.decode("utf-8", "replace")
        found["raw_b64"] = base64.b64encode(raw).decode()
        if "json" in (self.answer.header("content-type") or ""):
            with contextlib.suppress(ValueError):  # then it has no body that could match
                found["body"] = json.loads(raw)
        return found


def seen_of(answer: Answer) -> Seen:
    """What an answer shows. ValueError where its body is not what its content-type says."""
    seen = Seen(answer)
    if seen.is_stream:
        text = bytes(answer.body).decode("utf-8")  # strictly
        *blocks, rest = text.replace("\r\n", "\n").split("\n\n")
        if rest:
            raise ValueError(f"the stream ends within an event: {rest!r}")
        seen.frames = [Frame(tuple(block.split("\n"))) for block in blocks]
        seen.chunks = [frame.data for frame in seen.frames if not frame.is_comment]
    elif bytes(answer.body[:1]) == b"[":
        seen.chunks = json.loads(answer.body)
    return seen
