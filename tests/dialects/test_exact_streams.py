"""Streams that are relayed byte for byte: what a chunk should not hold is the client's to see, and breaks nothing."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.dialects.counters import tokens_of
from faregate.dialects.table import DIALECTS

_STREAMS = {
    "openai_chat": {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]},
    "anthropic_messages": {
        "model": "m",
        "stream": True,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
    },
}
_ODD: list[Any] = [5, True, 1.5, "abc", [], [5], [None], [{"function": 7}], {"a": 1}, {"function": {"arguments": 3}}]


@pytest.mark.parametrize("member", ["tool_calls", "content", "reasoning_content", "role"])
@pytest.mark.parametrize("odd", _ODD, ids=repr)
def test_odd_deltas_of_chat(member: str, odd: Any) -> None:
    dialect = DIALECTS["openai_chat"]
    request = dialect.parse_request(json.dumps(_STREAMS["openai_chat"]).encode())
    stream = dialect.forward_stream(request, exact=True)
    choice = {"index": 0, "delta": {member: odd}, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    sent = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    assert stream.feed(sent) == sent


@pytest.mark.parametrize("member", ["text", "thinking", "partial_json", "citation"])
@pytest.mark.parametrize("odd", _ODD, ids=repr)
def test_odd_deltas_of_messages(member: str, odd: Any) -> None:
    dialect = DIALECTS["anthropic_messages"]
    request = dialect.parse_request(json.dumps(_STREAMS["anthropic_messages"]).encode())
    stream = dialect.forward_stream(request, exact=True)
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", member: odd}}
    sent = b"event: content_block_delta\ndata: " + json.dumps(event).encode() + b"\n\n"
    assert stream.feed(sent) == sent


_LETTERS = st.sampled_from('ab ",\\\n\r\u00e9')
_WORDS = st.text(_LETTERS, max_size=12) | st.text(_LETTERS, min_size=13, max_size=200)  # a token, or many
_KINDS = st.sampled_from(
    ["output_text.delta", "function_call_arguments.delta", "output_text.done", "refusal.delta", "odd"]
)


@st.composite
def _responses_event(draw: st.DrawFn, number: int) -> bytes:
    kind = f"response.{draw(_KINDS)}"
    event = {
        "type": kind,
        "sequence_number": number,
        "item_id": "i",
        "delta": draw(_WORDS),
        "obfuscation": draw(_WORDS),
    }
    if draw(st.booleans()):
        event = dict(sorted(event.items()))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    first = draw(st.sampled_from([f"event: {kind}", f"event:{kind}", ": a comment"]))
    return f"{first}{end}data: {json.dumps(event, separators=separators)}{end}{end}".encode()


@settings(deadline=None)
@given(st.data())
def test_events_of_responses_are_the_same_in_whatever_pieces_they_come(data: st.DataObject) -> None:
    dialect = DIALECTS["openai_responses"]
    events = [data.draw(_responses_event(number)) for number in range(data.draw(st.integers(1, 6)))]
    sent = b"".join(events)
    seen = []
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=8)))
    split = [sent[start:end] for start, end in itertools.pairwise([0, *cuts, len(sent)])]
    for pieces in (events, [sent], split):
        request = dialect.parse_request(b'{"model":"m","stream":true,"input":"x"}')
        stream = dialect.forward_stream(request, exact=True)
        out = b"".join([stream.feed(piece) for piece in pieces])
        observed = stream.observed
        seen.append((out, observed.deltas, observed.has_content, request.events_sent))
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("words", ["a", "a" * 15, "a" * 16, "a" * 400, '",' * 60, "\\" * 90, "\u00e9\n" * 9], ids=len)
def test_an_event_of_responses_with_many_words_counts_as_many_tokens(words: str) -> None:
    """Also one that is a piece of its own, behind others."""
    dialect = DIALECTS["openai_responses"]
    stream = dialect.forward_stream(dialect.parse_request(b'{"model":"m","stream":true,"input":"x"}'), exact=True)
    event = {"type": "response.output_text.delta", "item_id": "i", "delta": words, "sequence_number": 1}
    sent = f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
    counted = []
    for _ in range(3):
        before = stream.observed.deltas
        assert stream.feed(sent) == sent
        counted.append(stream.observed.deltas - before)
    assert counted == [tokens_of(words)] * 3


_FEW_WORDS = st.text(st.sampled_from('ab "\\\n\r\u00e9\u4e2d'), min_size=1, max_size=12)  # a token or two
_STYLES = st.fixed_dictionaries(
    {
        "delta": st.sampled_from([{"content": "?"}, {"content": "?", "role": None}, {"reasoning_content": "?"}]),
        "finish": st.sampled_from([None, None, "stop"]),
        "model": st.sampled_from(["m", "m-2026-01-01", "other"]),
        "usage": st.sampled_from(["absent", None, None, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "separators": st.sampled_from([(",", ":"), (",", ":"), (", ", ": ")]),
        "end": st.sampled_from(["\n\n", "\n\n", "\r\n\r\n", "\n\n: ping\n\n"]),
        "unknown": st.sampled_from([3, 4]),
    }
)


@st.composite
def _like_chunks(draw: st.DrawFn) -> list[bytes]:
    """Chunks as vendors write them: many that differ in their words alone, now and then another."""
    chunks = []
    for style in draw(st.lists(_STYLES, min_size=1, max_size=3)):
        for words in draw(st.lists(_FEW_WORDS, min_size=1, max_size=4)):
            delta = json.loads(json.dumps(style["delta"]).replace('"?"', json.dumps(words)))
            choice = {"index": 0, "delta": delta, "finish_reason": style["finish"]}
            chunk = {"id": "c", "model": style["model"], "choices": [choice], "unknown": style["unknown"]}
            if style["usage"] != "absent":
                chunk["usage"] = style["usage"]
            said = json.dumps(chunk, separators=style["separators"], ensure_ascii=False)
            chunks.append(f"data: {said}{style['end']}".encode())
    return chunks


@settings(deadline=None)
@given(_like_chunks(), st.booleans(), st.data())
def test_chunks_of_chat_are_the_same_in_whatever_pieces_they_come(
    chunks: list[bytes], keeps_usage: bool, data: st.DataObject
) -> None:
    dialect = DIALECTS["openai_chat"]
    body = {**_STREAMS["openai_chat"], **({"stream_options": {"include_usage": True}} if keeps_usage else {})}
    sent = b"".join(chunks)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=6)))
    seen = []
    for pieces in (chunks, [sent], [sent[start:end] for start, end in itertools.pairwise([0, *cuts, len(sent)])]):
        stream = dialect.forward_stream(dialect.parse_request(json.dumps(body).encode()), exact=True)
        out = b"".join([*(stream.feed(piece) for piece in pieces), stream.close()])
        observed = stream.observed
        seen.append((out, observed.deltas, observed.usage, observed.finished, observed.model))
    assert seen[0] == seen[1] == seen[2]


def test_a_chunk_whose_end_differs_from_the_last_one_is_another() -> None:
    dialect = DIALECTS["openai_chat"]
    stream = dialect.forward_stream(dialect.parse_request(json.dumps(_STREAMS["openai_chat"]).encode()), exact=True)
    for number, words in enumerate("abcdef"):
        choice = {"index": 0, "delta": {"content": words}, "finish_reason": None}
        chunk = {"id": "c", "model": "m", "choices": [choice], "unknown": number // 3}
        sent = f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()
        assert stream.feed(sent) == sent
    assert stream.observed.deltas == 6
