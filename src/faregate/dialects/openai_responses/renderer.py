"""Events as a client's stream (conformance.md 1.9): every event numbered, every item announced before its deltas, with
one id from its announcement to the last snapshot.

A text or a thought is an item that stays open until something else begins. Calls of tools stay open until the end,
for their arguments may come interleaved; each keeps its place in the output.
"""

from typing import Any

import msgspec

from ...core.chat import ChatRequest
from ...core.conversation import Thinking
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Event,
    Finished,
    ForeignGiven,
    LogprobsGiven,
    MediaGiven,
    ReasoningDelta,
    Redacted,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...core.usage import Usage
from .parts import annotation_of
from .proofs import NAME, encrypted_of, item_id_of
from .snapshot import Snapshot, new_id

Item = dict[str, Any]


class _Logprobs(msgspec.Struct):
    content: list[msgspec.Raw] | None = None


_logprobs_decoder = msgspec.json.Decoder(_Logprobs)


class Renderer:
    """The first choice of an answer as a stream (dialects.StreamRenderer). `ended` serves whole ones."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._snapshot = Snapshot(request)
        self._has_begun = False
        self._sequence = 0
        self._pieces: list[bytes] = []
        self._open: Item | None = None  # a text or a thought
        self._at = 0  # its place in the output
        self._calls: dict[int, int] = {}
        self._finished = Finished(reason="stop")
        self._usage: Usage | None = None
        self.output: list[Item] = []

    def render(self, event: Event) -> bytes:
        """See StreamRenderer."""
        if isinstance(event, Started):
            self._snapshot.model = event.model
            self._snapshot.named(event.id)
        self._begin()
        if not getattr(event, "choice", 0):
            self._take(event)
        return self._written()

    def finish(self) -> tuple[bytes, bytes]:
        """See StreamRenderer."""
        response = self.ended()
        held = self._written()
        self._say(f"response.{response['status']}", {"response": response})
        return held, self._written()

    def ended(self) -> Item:
        """The whole response, now that all was said."""
        self._begin()
        if self._finished.explanation and not any(_refuses(item) for item in self.output):
            self._words("refusal", self._finished.explanation)
        self._close()
        for place in self._calls.values():
            self._close_call(place)
        return self._snapshot.at_end(self._finished.reason, self.output, self._usage)

    def _take(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self._words("output_text", event.text)
        elif isinstance(event, RefusalDelta):
            self._words("refusal", event.text)
        elif isinstance(event, ReasoningDelta):
            self._thought(event)
        elif isinstance(event, Signed):
            self._signed(event)
        elif isinstance(event, Redacted):
            self._close()
            sealed = encrypted_of(Thinking(redacted=event.data, signed_by=event.signed_by))
            self._whole({"id": new_id("rs"), "type": "reasoning", "summary": [], "encrypted_content": sealed})
        elif isinstance(event, ToolCallStarted):
            self._call(event)
        elif isinstance(event, ArgumentsDelta):
            self._arguments(event)
        elif isinstance(event, MediaGiven):
            self._close()
            item = {"id": new_id("ig"), "type": "image_generation_call", "status": "completed"}
            self._whole({**item, "result": event.media.data})
        elif isinstance(event, ForeignGiven) and event.part.dialect == NAME:
            self._close()
            self._whole(msgspec.json.decode(event.part.raw))
        elif isinstance(event, Cited):
            self._cited(event)
        elif isinstance(event, LogprobsGiven):
            self._logprobs(event)
        elif isinstance(event, UsageReported):
            self._usage = event.usage
        elif isinstance(event, Finished):
            self._finished = event

    # Events

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            response = self._snapshot.at_start()
            self._say("response.created", {"response": response})
            self._say("response.in_progress", {"response": response})

    def _say(self, kind: str, members: Item) -> None:
        data = msgspec.json.encode({"type": kind, "sequence_number": self._sequence, **members})
        self._pieces.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
        self._sequence += 1
        self._request.events_sent = self._sequence

    def _written(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    # Items

    def _add(self, item: Item) -> int:
        place = len(self.output)
        self.output.append(item)
        self._say("response.output_item.added", {"output_index": place, "item": item})
        return place

    def _done(self, place: int) -> None:
        self._say("response.output_item.done", {"output_index": place, "item": self.output[place]})

    def _whole(self, item: Item) -> None:
        self._done(self._add(item))

    def _close(self) -> None:
        """The open text or thought is whole."""
        item, self._open = self._open, None
        if item is None:
            return
        if item["type"] == "message":
            self._close_part(item)
            item["status"] = "incomplete" if self._finished.reason == "length" else "completed"
        elif item["summary"]:
            where = self._where(item) | {"summary_index": 0}
            part = item["summary"][0]
            self._say("response.reasoning_summary_text.done", {**where, "text": part["text"]})
            self._say("response.reasoning_summary_part.done", {**where, "part": part})
        self._done(self._at)

    def _where(self, item: Item) -> Item:
        return {"item_id": item["id"], "output_index": self._at}

    def _in_part(self, item: Item) -> Item:
        return self._where(item) | {"content_index": len(item["content"]) - 1}

    def _words(self, kind: str, text: str) -> None:
        """More of what is said, or of why it is not."""
        item = self._open
        if item is None or item["type"] != "message":
            self._close()
            head = {"id": new_id("msg"), "type": "message", "status": "in_progress"}
            item = {**head, "role": "assistant", "content": []}
            self._at = self._add(item)
            self._open = item
        if not item["content"] or item["content"][-1]["type"] != kind:
            if item["content"]:
                self._close_part(item)
            part: Item = {"type": "refusal", "refusal": ""}
            if kind == "output_text":
                part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            item["content"].append(part)
            self._say("response.content_part.added", {**self._in_part(item), "part": part})
        part = item["content"][-1]
        if kind == "output_text":
            part["text"] += text
            self._say("response.output_text.delta", {**self._in_part(item), "delta": text, "logprobs": []})
        else:
            part["refusal"] += text
            self._say("response.refusal.delta", {**self._in_part(item), "delta": text})

    def _close_part(self, item: Item) -> None:
        part, where = item["content"][-1], self._in_part(item)
        if part["type"] == "output_text":
            said = {"text": part["text"], "logprobs": part["logprobs"]}
            self._say("response.output_text.done", {**where, **said})
        else:
            self._say("response.refusal.done", {**where, "refusal": part["refusal"]})
        self._say("response.content_part.done", {**where, "part": part})

    def _reasoning(self, item_id: str) -> Item:
        """The open thought, which has this id if it has one of its own."""
        is_open = self._open is not None and self._open["type"] == "reasoning"
        if self._open is None or not is_open or (item_id and self._open["id"] != item_id):
            self._close()
            self._open = {"id": item_id or new_id("rs"), "type": "reasoning", "summary": []}
            self._at = self._add(self._open)
        return self._open

    def _thought(self, event: ReasoningDelta) -> None:
        item, text = self._reasoning(event.thought_id), event.text
        where = self._where(item) | {"summary_index": 0}
        if not item["summary"]:
            item["summary"].append({"type": "summary_text", "text": ""})
            self._say("response.reasoning_summary_part.added", {**where, "part": item["summary"][0]})
        item["summary"][0]["text"] += text
        self._say("response.reasoning_summary_text.delta", {**where, "delta": text})

    def _signed(self, event: Signed) -> None:
        """The proof of a thought ends it. That of a call or a text has no place here."""
        if event.call is not None or event.is_text:
            return
        thinking = Thinking(signature=event.signature, signed_by=event.signed_by)
        self._reasoning(item_id_of(thinking))["encrypted_content"] = encrypted_of(thinking)
        self._close()

    def _call(self, event: ToolCallStarted) -> None:
        self._close()
        item = {"id": new_id("fc"), "type": "function_call", "status": "in_progress"}
        self._calls[event.call] = self._add({**item, "call_id": event.id, "name": event.name, "arguments": ""})

    def _arguments(self, event: ArgumentsDelta) -> None:
        place = self._calls.get(event.call)
        if place is not None and event.text:
            item = self.output[place]
            item["arguments"] += event.text
            where = {"item_id": item["id"], "output_index": place}
            self._say("response.function_call_arguments.delta", {**where, "delta": event.text})

    def _close_call(self, place: int) -> None:
        item = self.output[place]
        where = {"item_id": item["id"], "output_index": place}
        if not item["arguments"]:
            item["arguments"] = "{}"
            self._say("response.function_call_arguments.delta", {**where, "delta": "{}"})
        said = {"name": item["name"], "arguments": item["arguments"]}
        self._say("response.function_call_arguments.done", {**where, **said})
        item["status"] = "incomplete" if self._finished.reason == "length" else "completed"
        self._done(place)

    def _cited(self, event: Cited) -> None:
        item = self._open
        if item is None or item["type"] != "message" or item["content"][-1]["type"] != "output_text":
            return
        part = item["content"][-1]
        annotation = annotation_of(event.citation, len(part["text"]))
        part["annotations"].append(annotation)
        said = {"annotation_index": len(part["annotations"]) - 1, "annotation": annotation}
        self._say("response.output_text.annotation.added", {**self._in_part(item), **said})

    def _logprobs(self, event: LogprobsGiven) -> None:
        item = self._open
        if item is not None and item["type"] == "message" and item["content"][-1]["type"] == "output_text":
            try:
                item["content"][-1]["logprobs"] += _logprobs_decoder.decode(event.raw).content or []
            except msgspec.DecodeError:
                return  # nothing that could be shown


def _refuses(item: Item) -> bool:
    return item["type"] == "message" and any(part["type"] == "refusal" for part in item["content"])
