"""Any answer, however an upstream writes it and wherever its bytes are cut, is put together as it was."""

import itertools
import json
from typing import Any, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai_streams import (
    HI,
    STOP,
    USAGE,
    Folded,
    Members,
    call,
    calls,
    check_rules,
    chunk,
    fold,
    repair,
    run,
    says,
    sse,
)

from faregate.core.chat import ChatRequest
from faregate.dialects.openai_chat.repair import Repair
from faregate.wire.messages import BadMessage


class Faults(NamedTuple):
    """How an upstream writes an answer."""

    roles: str
    finish: str
    usage: str
    done: bool
    indexes: str
    ids: str
    names_repeated: bool
    typed: bool
    interleaved: bool
    leading: str
    eol: str
    space: bool
    noise: bool


class Call(NamedTuple):
    name: str
    pieces: list[str]  # of its arguments; none for a call without


class Choice(NamedTuple):
    text: list[str]
    calls: list[Call]
    reason: str


FAULTS = st.builds(
    Faults,
    roles=st.sampled_from(["once", "every", "never", "empty"]),
    finish=st.sampled_from(["apart", "with_last", "every", "twice", "early", "absent"]),
    usage=st.sampled_from(["absent", "apart", "with_last", "every"]),
    done=st.booleans(),
    indexes=st.sampled_from(["right", "zero", "from_one", "absent"]),
    ids=st.sampled_from(["once", "repeated", "absent", "anew"]),
    names_repeated=st.booleans(),
    typed=st.booleans(),
    interleaved=st.booleans(),
    leading=st.sampled_from(["", "{}"]),
    eol=st.sampled_from(["\n", "\r\n", "\r"]),
    space=st.booleans(),
    noise=st.booleans(),
)


@st.composite
def pieces_of(draw: st.DrawFn) -> list[str]:
    """The arguments of a call, cut anywhere."""
    arguments = draw(st.dictionaries(st.text('ab{}"é', max_size=3), st.sampled_from([1, "x", [], {}, "{}"])))
    if not arguments:
        return []
    text = json.dumps(arguments, ensure_ascii=False)
    cuts = sorted(draw(st.lists(st.integers(1, len(text) - 1), max_size=3, unique=True)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


CHOICE = st.builds(
    Choice,
    text=st.lists(st.text(min_size=1, max_size=5), max_size=3),
    calls=st.lists(st.builds(Call, st.sampled_from(["f", "g", "h"]), pieces_of()), max_size=3),
    reason=st.sampled_from(["stop", "length", "content_filter", "tool_calls", "end_turn"]),
)


def can_be_told_apart(choice: Choice, faults: Faults) -> bool:
    """Whether what the upstream leaves out can be made up for at all."""
    if not choice.calls:
        return True
    indexed = faults.indexes in ("right", "from_one")
    if faults.interleaved and not (indexed or faults.ids == "repeated"):
        return False
    if faults.leading and (faults.interleaved or faults.ids == "absent"):
        return False
    if faults.ids == "anew" and faults.names_repeated:
        return False
    if faults.ids == "absent" and not indexed:
        names = [item.name for item in choice.calls]
        return not faults.names_repeated and all(a != b for a, b in itertools.pairwise(names))
    return True


def call_deltas(choice: Choice, faults: Faults) -> list[Members]:
    """The deltas that tell a choice's calls."""
    per_call: list[list[Members]] = []
    for position, item in enumerate(choice.calls):
        index = {"right": position, "zero": 0, "from_one": position + 1, "absent": None}[faults.indexes]
        first_id = None if faults.ids == "absent" else f"call-{position}"
        entries = [call(index, first_id, item.name, faults.leading)]
        for number, piece in enumerate(item.pieces):
            later = {"once": None, "repeated": first_id, "absent": None, "anew": f"anew-{position}-{number}"}
            name = item.name if faults.names_repeated else None
            entries.append(call(index, later[faults.ids], name, piece))
        if not faults.typed:
            for entry in entries:
                entry.pop("type", None)
        per_call.append([calls(entry) for entry in entries])
    if not faults.interleaved:
        return [delta for deltas in per_call for delta in deltas]
    heads = [deltas.pop(0) for deltas in per_call]
    longest = max((len(deltas) for deltas in per_call), default=0)
    return heads + [deltas[i] for i in range(longest) for deltas in per_call if i < len(deltas)]


def choice_chunks(index: int, choice: Choice, faults: Faults) -> list[Members]:
    """A choice as the upstream sends it."""
    deltas = [{"content": piece} for piece in choice.text] + call_deltas(choice, faults)
    deltas = deltas or [{"content": "x"}]
    for number, delta in enumerate(deltas):
        if faults.roles == "every" or (faults.roles == "once" and number == 0):
            delta["role"] = "assistant"
        elif faults.roles == "empty":
            delta["role"] = ""
    finishes: list[str | None] = [None] * len(deltas)
    if faults.finish == "every":
        finishes = [choice.reason] * len(deltas)
    elif faults.finish == "with_last":
        finishes[-1] = choice.reason
    elif faults.finish == "early":
        finishes[0] = choice.reason
    chunks = [chunk(says(d, f, index)) for d, f in zip(deltas, finishes, strict=True)]
    again = {"apart": 1, "twice": 2}.get(faults.finish, 0)
    return chunks + [chunk(says({"role": "assistant", "content": ""}, choice.reason, index))] * again


def write(chunks: list[Members], faults: Faults) -> bytes:
    """The upstream's bytes."""
    chunks = [dict(item) for item in chunks]
    if faults.usage == "every":
        for number, item in enumerate(chunks):
            item["usage"] = {"prompt_tokens": 10, "completion_tokens": number}
    if faults.usage in ("every", "with_last"):
        chunks[-1]["usage"] = USAGE
    elif faults.usage == "apart":
        chunks.append(chunk(usage=USAGE))
    prefix = "data: " if faults.space else "data:"
    events = [f"{prefix}{json.dumps(item)}\n\n" for item in chunks]
    if faults.done:
        events.append(f"{prefix}[DONE]\n\n")
    noise = ": still here\n\nevent: ping\n\n" if faults.noise else ""
    return noise.join(["", *events]).replace("\n", faults.eol).encode()


def expected_of(choice: Choice, faults: Faults) -> Folded:
    reason = "stop" if choice.reason == "end_turn" or faults.finish == "absent" else choice.reason
    if choice.calls and reason == "stop":
        reason = "tool_calls"
    told = [(item.name, "".join(item.pieces) or "{}") for item in choice.calls]
    return Folded("".join(choice.text) or ("" if choice.calls else "x"), told, reason)


@given(
    choices=st.lists(CHOICE, min_size=1, max_size=3),
    faults=FAULTS,
    usage=st.booleans(),
    cuts=st.lists(st.integers(0, 4000), max_size=10),
    data=st.data(),
)
@settings(max_examples=250, deadline=None)
def test_any_answer_however_it_is_written(
    choices: list[Choice], faults: Faults, usage: bool, cuts: list[int], data: st.DataObject
) -> None:
    assume(all(can_be_told_apart(choice, faults) for choice in choices))
    assume(faults.done or faults.finish not in ("early", "absent"))
    queues = [choice_chunks(index, choice, faults) for index, choice in enumerate(choices)]
    order = data.draw(st.permutations([index for index, queue in enumerate(queues) for _ in queue]))
    raw = write([queues[index].pop(0) for index in order], faults)
    outcome = run(raw, cuts, usage=usage, n=len(choices))
    assert not outcome.failed
    assert outcome.raw == run(raw, usage=usage, n=len(choices)).raw
    check_rules(outcome.chunks, usage=usage, has_usage=faults.usage != "absent")
    assert fold(outcome.chunks) == [expected_of(choice, faults) for choice in choices]
    assert outcome.observed.finished
    assert outcome.observed.done == faults.done
    assert (outcome.observed.usage is None) == (faults.usage == "absent")
    if outcome.observed.usage is not None:
        assert (outcome.observed.usage.prompt, outcome.observed.usage.completion) == (10, 5)


@given(st.binary(max_size=60), st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=200, deadline=None)
def test_garbage_raises_nothing_but_bad_message(noise: bytes, cuts: list[int]) -> None:
    raw = sse(HI, done=False) + b"data: " + noise + b"\n\n" + sse(STOP)
    outcome, again = run(raw, cuts), run(raw)
    assert (outcome.raw, outcome.failed) == (again.raw, again.failed)


MEMBERS = st.sampled_from(
    [
        *("choices", "delta", "message", "index", "tool_calls", "function", "name", "id", "arguments"),
        *("finish_reason", "usage", "error", "object", "model", "created", "role", "content"),
    ]
)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "stop", "{}"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=5),
        max_leaves=20,
    )
)
@settings(max_examples=300, deadline=None)
def test_odd_shapes_raise_nothing_but_bad_message(value: Any) -> None:
    for odd in (value, {"choices": [value]}, {"choices": [{"delta": value}]}):
        run(sse(HI, odd if isinstance(odd, dict) else f"data: {json.dumps(odd)}\n\n", STOP), n=2, usage=True)
        for n in (1, 2):
            try:
                ChatCompletion.model_validate(repair(odd, n=n))
            except BadMessage:
                continue
            except ValueError as failure:  # an unknown shape that is kept may not be what the SDK's types say
                assert "validation error" in str(failure)


WORDS = st.text(st.sampled_from('abc é中\U0001f600"\\\n\x7f'), min_size=1, max_size=9)
SHAPES: list[Members] = [
    {"delta": {"content": "?"}},
    {"delta": {"content": "?", "reasoning_content": None}},
    {"delta": {"content": "", "reasoning_content": "?"}, "logprobs": None},
    {"delta": {"role": "assistant", "content": "?"}, "finish_reason": ""},
    {"delta": {"content": "?", "refusal": "x"}},
    {"delta": {"content": "?"}, "content": "odd"},
    {"delta": {"content": "?"}, "finish_reason": "stop"},
    {"delta": {}, "text": "?"},
]


STYLES = st.fixed_dictionaries(
    {
        "choice": st.sampled_from(SHAPES),
        "created": st.sampled_from([1, 2]),
        "unknown": st.sampled_from([3, 4]),
        "index": st.sampled_from([0, 0, 1]),
        "usage": st.sampled_from([None, None, USAGE]),
        "separators": st.sampled_from([(",", ":"), (", ", ": ")]),
        "end": st.sampled_from(["\n\n", "\n\n", "\r\n\r\n", "\n\n: ping\n\n"]),
        "is_ascii": st.booleans(),
    }
)


@st.composite
def like_events(draw: st.DrawFn) -> list[bytes]:
    """Events as hosts write them: many that differ in their words alone, now and then another."""
    events = []
    for style in draw(st.lists(STYLES, min_size=1, max_size=3)):
        for words in draw(st.lists(WORDS, min_size=1, max_size=4)):
            choice = json.loads(json.dumps(style["choice"]).replace('"?"', json.dumps(words)))
            event = {"id": "c", "object": "chat.completion.chunk", "created": style["created"], "model": "m"}
            event["choices"] = [{"index": style["index"], **choice}]
            event["unknown"] = style["unknown"]
            if style["usage"] is not None:
                event["usage"] = style["usage"]
            said = json.dumps(event, separators=style["separators"], ensure_ascii=style["is_ascii"])
            events.append(f"data: {said}{style['end']}".encode())
    return events


@given(like_events(), st.data())
@settings(deadline=None)
def test_events_that_differ_in_their_words_alone_are_written_as_any_other(
    events: list[bytes], data: st.DataObject
) -> None:
    """By the piece, where the pattern of the last one may serve, all at once, or cut anywhere."""
    whole = b"".join([*events, b"data: [DONE]\n\n"])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    split = [whole[start:end] for start, end in itertools.pairwise([0, *cuts, len(whole)])]
    seen = []
    for pieces in ([*events, b"data: [DONE]\n\n"], [whole], split):
        transform = Repair(ChatRequest(model="m", members={}, choices=2))
        out = b"".join(transform.feed(piece) for piece in pieces)
        observed = transform.observed
        seen.append((out, observed.deltas, observed.usage, observed.finished, observed.done))
    assert seen[0] == seen[1] == seen[2]


def test_an_event_that_ends_otherwise_than_the_last_one_is_another() -> None:
    def event(words: str, unknown: int = 3, **more: Any) -> bytes:
        choice = {"index": 0, "delta": {"content": words}, **more}
        chunk = {"id": "c", "created": 1, "model": "m", "choices": [choice], "unknown": unknown}
        return f"data: {json.dumps(chunk)}\n\n".encode()

    transform = Repair(ChatRequest(model="m", members={}))
    for number, word in enumerate("abcd"):
        assert f'"unknown":{3 + number // 3}'.encode() in transform.feed(event(word, unknown=3 + number // 3))
    assert not transform.observed.finished
    assert b'"finish_reason":"stop"' not in transform.feed(event("e", unknown=4, finish_reason="stop"))
    assert transform.observed.finished
    assert transform.feed(b"data: [DONE]\n\n").count(b'"finish_reason":"stop"') == 1
