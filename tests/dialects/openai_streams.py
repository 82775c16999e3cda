"""Streams and answers as upstreams write them, and the rules that repaired ones are held to."""

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import msgspec
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from faregate.core.chat import ChatRequest
from faregate.dialects import Observed
from faregate.dialects.openai_chat import repair_rules
from faregate.dialects.openai_chat.repair import Repair, repair_result
from faregate.wire.messages import BadMessage

FIXTURES = Path(__file__).parent.parent / "fixtures"
NOW = 1_790_000_000
ASKED = "m"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}

Members = dict[str, Any]


class Outcome(NamedTuple):
    raw: bytes
    observed: Observed
    failed: bool

    @property
    def chunks(self) -> list[Members]:
        return parse(self.raw)


def run(raw: bytes, cuts: list[int] | None = None, *, usage: bool = False, n: int = 1) -> Outcome:
    """The stream `raw`, cut at `cuts`, through the repair; made-up ids are numbered."""
    request = ChatRequest(model=ASKED, members={}, stream=True, include_usage=usage, choices=n)
    numbers = iter(range(10_000))
    marks = [0, *sorted(min(cut, len(raw)) for cut in cuts or []), len(raw)]
    out = b""
    transform = Repair(request)
    with (
        mock.patch.object(repair_rules.secrets, "token_hex", lambda size: f"{next(numbers):0{size * 2}x}"),
        mock.patch.object(repair_rules.time, "time", lambda: NOW + 0.5),
    ):
        try:
            for start, end in itertools.pairwise(marks):
                out += transform.feed(raw[start:end])
            out += transform.close() + transform.observed.ending
        except BadMessage:
            return Outcome(out, transform.observed, True)
    return Outcome(out, transform.observed, False)


def parse(raw: bytes) -> list[Members]:
    """The chunks of a finished stream, its framing checked."""
    assert raw.endswith(b"data: [DONE]\n\n")
    assert raw.count(b"[DONE]") == 1
    events = raw[: -len(b"data: [DONE]\n\n")].split(b"\n\n")
    assert events.pop() == b""
    assert all(event.startswith(b"data: {") and b"\n" not in event and b"\r" not in event for event in events)
    return [json.loads(event[6:]) for event in events]


def check_rules(chunks: list[Members], *, usage: bool = False, has_usage: bool = True) -> None:
    """The rules of conformance 1.2 that hold for every stream."""
    assert len({(c["id"], c["object"], c["created"], c["model"]) for c in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    if not usage:
        assert not any("usage" in chunk for chunk in chunks)
    elif has_usage:
        *chunks, last = chunks
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == USAGE["total_tokens"]
    assert all(chunk["usage"] is None for chunk in chunks if usage)
    seen: dict[int, list[Members]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            assert choice["index"] in seen or choice["index"] == len(seen), "choices appear in order"
            seen.setdefault(choice["index"], []).append(choice)
    assert seen, "choice 0 is there"
    for choices in seen.values():
        *body, last = choices
        assert all(choice["finish_reason"] is None for choice in body)
        assert last["delta"] == {}
        assert last["finish_reason"] in repair_rules._SHOWN_AS_IS
        assert [choice["delta"].get("role") for choice in body] == ["assistant"] + [None] * (len(body) - 1)
        check_calls([call for choice in body for call in choice["delta"].get("tool_calls", [])])


def check_calls(fragments: list[Members]) -> None:
    """A header once for each call, dense indexes, then arguments alone."""
    headers = 0
    ids = set()
    for fragment in fragments:
        if fragment["index"] == headers:
            headers += 1
            assert fragment["type"] == "function"
            assert fragment["function"]["name"]
            assert isinstance(fragment["function"]["arguments"], str)
            ids.add(fragment["id"])
        else:
            assert fragment["index"] < headers
            assert fragment.keys() >= {"index", "function"}
            assert not fragment.keys() & {"id", "type"}
            assert "name" not in fragment["function"]
    assert len(ids) == headers
    assert None not in ids


class Folded(NamedTuple):
    content: str
    calls: list[tuple[str, str]]
    finish: str | None


def fold(chunks: list[Members]) -> list[Folded]:
    """The answer as the official SDK puts it together."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return [
        Folded(
            choice.message.content or "",
            [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or []],
            choice.finish_reason,
        )
        for choice in state.current_completion_snapshot.choices
    ]


def chunk(*choices: Members, **members: Any) -> Members:
    head = {
        "id": "chatcmpl-up",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-up",
    }
    return {**head, "choices": list(choices), **members}


def says(delta: Members, finish: str | None = None, index: int = 0, **members: Any) -> Members:
    return {"index": index, "delta": delta, "finish_reason": finish, **members}


def calls(*entries: Members) -> Members:
    return {"tool_calls": list(entries)}


def call(index: int | None, id: str | None, name: str | None, arguments: Any, **members: Any) -> Members:
    """One entry of `tool_calls`; what is None is left out."""
    function = {"name": name, "arguments": arguments}
    entry = {"index": index, "id": id, "type": "function" if name else None}
    entry = {key: value for key, value in entry.items() if value is not None}
    return {**entry, "function": {k: v for k, v in function.items() if v is not None}, **members}


def sse(*chunks: Members | str, done: bool = True) -> bytes:
    lines = [item if isinstance(item, str) else f"data: {json.dumps(item)}\n\n" for item in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


HI = chunk(says({"role": "assistant", "content": "Hi"}))
STOP = chunk(says({}, "stop"))


def answer(message: Members | None = None, finish: Any = "stop", **members: Any) -> Members:
    message = {"role": "assistant", "content": "x"} if message is None else message
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "chatcmpl-up", "created": 1, "model": "m", "choices": [choice], "usage": USAGE, **members}


def repair(body: Any, n: int = 1) -> Members:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(msgspec.json.encode(repair_result(raw, ChatRequest(model=ASKED, members={}, choices=n))))


def load_checker() -> Any:
    spec = importlib.util.spec_from_file_location("checker", FIXTURES / "translation_cases_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECKER = load_checker()
CASES = {
    case["name"]: case
    for case in map(json.loads, (FIXTURES / "translation_cases.jsonl").read_text("utf-8").splitlines())
    if case["client_dialect"] == case["upstream_dialect"] == "openai"
    and case["request"]["path"] == "/v1/chat/completions"
}
