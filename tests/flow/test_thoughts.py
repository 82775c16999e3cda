"""Thoughts that led to a tool call come back with it, for a while, to the project that they are of."""

import msgspec

from faregate.core.conversation import Conversation, Message, Part, Text, Thinking, ToolCall
from faregate.core.events import ArgumentsDelta, ReasoningDelta, Redacted, Signed, ToolCallStarted
from faregate.flow.thoughts import KEPT_FOR_S, KeptThoughts, Thoughts

SIGNED = Thinking(text="so", signature="s1", signed_by="anthropic_messages")
HIDDEN = Thinking(redacted="r1", signed_by="anthropic_messages")
FIRST, SECOND = ToolCall(id="c1", name="f"), ToolCall(id="c2", name="f", signature="g2", signed_by="gemini_generate")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def turn(*parts: Part) -> Conversation:
    return Conversation(messages=(Message("user", (Text("go"),)), Message("assistant", parts)))


def recalled(
    kept: KeptThoughts, *parts: Part, project: str = "p", reader: str = "anthropic_messages"
) -> tuple[Part, ...]:
    return kept.recall(project, turn(*parts), reader).messages[1].parts


def test_what_was_lost_is_put_where_it_stood() -> None:
    kept = KeptThoughts()
    kept.keep("p", [SIGNED, HIDDEN, Text("I look"), FIRST, SECOND])
    bare = msgspec.structs.replace(SECOND, signature="", signed_by="")
    assert recalled(kept, Text("I look"), FIRST, bare) == (Text("I look"), SIGNED, HIDDEN, FIRST, bare)
    assert recalled(kept, FIRST, bare, reader="gemini_generate") == (FIRST, SECOND)


def test_who_reads_words_alone_is_given_no_proof() -> None:
    kept = KeptThoughts()
    kept.keep("p", [SIGNED, HIDDEN, FIRST])
    assert recalled(kept, FIRST, reader="") == (Thinking(text="so"), FIRST)


def test_what_the_client_gives_back_itself_stands() -> None:
    kept = KeptThoughts()
    kept.keep("p", [SIGNED, FIRST, SECOND])
    own = Thinking(text="mine", signature="s9", signed_by="anthropic_messages")
    changed = msgspec.structs.replace(SECOND, signature="g9")
    assert recalled(kept, own, FIRST, changed) == (own, FIRST, changed)


def test_nothing_of_another_project_or_time_comes_back() -> None:
    clock = Clock()
    kept = KeptThoughts(clock=clock)
    kept.keep("p", [SIGNED, FIRST])
    assert recalled(kept, FIRST, project="q") == (FIRST,)
    clock.now = KEPT_FOR_S - 1
    assert recalled(kept, FIRST) == (SIGNED, FIRST)
    clock.now = KEPT_FOR_S
    assert recalled(kept, FIRST) == (FIRST,)


def test_what_proves_nothing_is_not_kept() -> None:
    kept = KeptThoughts()
    kept.keep("p", [Thinking(text="unsigned"), FIRST])
    kept.keep("p", [SIGNED])
    assert kept.size_bytes == 0


def test_words_are_kept_for_a_model_that_wants_them_back() -> None:
    kept = KeptThoughts()
    kept.keep("p", [Thinking(text="unsigned"), FIRST], unsigned=True)
    assert recalled(kept, FIRST, reader="") == (Thinking(text="unsigned"), FIRST)
    assert recalled(kept, FIRST) == (FIRST,)
    own = Thinking(text="mine")
    assert recalled(kept, own, FIRST, reader="") == (own, FIRST)


def test_the_oldest_go_first() -> None:
    kept = KeptThoughts(bytes_max=2_000)
    for number in range(10):
        kept.keep("p", [SIGNED, ToolCall(id=f"c{number}", name="f")])
    assert kept.size_bytes <= 2_000
    assert recalled(kept, ToolCall(id="c0", name="f")) == (ToolCall(id="c0", name="f"),)
    assert recalled(kept, ToolCall(id="c9", name="f"))[0] == SIGNED
    kept.keep("p", [SIGNED, ToolCall(id="c9", name="f")])  # once more under the same id
    assert kept.size_bytes <= 2_000


def test_a_stream_is_gathered() -> None:
    thoughts = Thoughts()
    by = "anthropic_messages"
    for event in (
        ReasoningDelta("s"),
        ReasoningDelta("o"),
        Signed(signature="s1", signed_by=by),
        ReasoningDelta("not mine", choice=1),
        Redacted(data="r1", signed_by=by),
        ToolCallStarted(call=0, id="c1", name="f"),
        ToolCallStarted(call=1, id="c2", name="f"),
        Signed(signature="g2", signed_by="gemini_generate", call=1),
        Signed(signature="t", signed_by="gemini_generate", is_text=True),
    ):
        thoughts.watch(event)
    assert thoughts.parts == [SIGNED, HIDDEN, FIRST, SECOND]


class Piece(str):
    """A text that counts the characters which are copied where it is added to another one by one."""

    __slots__ = ()
    copied = 0

    def __add__(self, other: str) -> "Piece":
        return Piece._sum(str.__add__(self, other))

    def __radd__(self, other: str) -> "Piece":
        return Piece._sum(str.__add__(other, self))

    @staticmethod
    def _sum(text: str) -> "Piece":
        Piece.copied += len(text)
        return Piece(text)


def test_the_work_for_a_long_stream_grows_with_its_length_alone() -> None:
    thoughts, pieces = Thoughts(), 2_000
    Piece.copied = 0
    for _ in range(pieces):
        thoughts.watch(ReasoningDelta(Piece("abcd")))
    thoughts.watch(Signed(signature="s", signed_by="anthropic_messages"))
    thoughts.watch(ToolCallStarted(call=0, id="c1", name="f"))
    for _ in range(pieces):
        thoughts.watch(ArgumentsDelta(call=0, text=Piece("efgh")))
    thinking, call = thoughts.complete()
    assert isinstance(thinking, Thinking) and thinking.text == "abcd" * pieces
    assert isinstance(call, ToolCall) and call.arguments == "efgh" * pieces
    assert Piece.copied <= 4 * 2 * pieces
