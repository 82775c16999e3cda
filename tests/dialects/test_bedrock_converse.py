"""Converse, where a file of fixtures cannot say it: whatever a client says is taken, or refused in words of ours; and
whatever a provider sends is understood, or told to be none."""

import random
from typing import Any

import msgspec
import pytest
from conversations import conversations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faregate.core.catalog import Capabilities
from faregate.core.chat import ChatRequest
from faregate.core.conversation import Conversation
from faregate.core.errors import Inexpressible
from faregate.core.events import Ended, Event, Failed
from faregate.dialects import Addressee
from faregate.dialects.table import DIALECTS, UPSTREAMS
from faregate.dialects.untranslated import Untranslated
from faregate.simulator.bedrock.encoding import message
from faregate.simulator.bedrock.request import read
from faregate.simulator.wires import Call
from faregate.wire.messages import BadMessage

CONVERSE = UPSTREAMS["bedrock_converse"]
ADDRESSEES = [
    Addressee(
        model="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        capabilities=Capabilities(thinking="budget", reasoning=True, prefill=True),
    ),
    Addressee(
        model="arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-8",
        capabilities=Capabilities(thinking="adaptive", reasoning=True, sampling=False, prefill=False),
    ),
    Addressee(model="us.amazon.nova-2-lite-v1:0", output_tokens_max=500),
    Addressee(model="openai.gpt-oss-120b-1:0"),
    Addressee(model="meta.llama4-maverick-17b-instruct-v1:0"),
]


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60, deadline=None)
@pytest.mark.parametrize("addressee", ADDRESSEES, ids=lambda addressee: addressee.model)
@given(conversation=conversations())
def test_what_is_said_is_taken(addressee: Addressee, conversation: Conversation) -> None:
    """The simulator refuses what AWS does, and what it does not know."""
    try:
        rendered = CONVERSE.render_request(conversation, addressee)
    except Inexpressible as refused:
        assert refused.param == "messages"  # pictures by address
        return
    asked = read(rendered.body, Call(model=addressee.model, stream=conversation.stream))
    assert asked.question.turns


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *(
                        "contentBlockIndex",
                        "delta",
                        "start",
                        "text",
                        "toolUse",
                        "input",
                        "toolUseId",
                        "name",
                        "stopReason",
                    ),
                    *(
                        "reasoningContent",
                        "signature",
                        "usage",
                        "inputTokens",
                        "citation",
                        "location",
                        "image",
                        "source",
                    ),
                    *("message", "output", "content", "reasoningText", "citationsContent", "citations", "bytes"),
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
names = st.sampled_from(
    ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "other")
)


def outcome(raw: bytes, seed: int) -> tuple[list[Event], bool]:
    """The events of a stream cut at random, and whether it was told to be none."""
    dice = random.Random(seed)
    parser = CONVERSE.parser()
    events: list[Event] = []
    try:
        while raw:
            size = dice.choice((1, 7, 50, 1000))
            events += parser.feed(raw[:size])
            raw = raw[size:]
        return events + parser.close(), False
    except BadMessage:
        return events, True


@settings(deadline=None)
@given(st.lists(st.tuples(names, values), max_size=8), st.integers(0, 100))
def test_whatever_comes_in_a_stream(said: list[tuple[str, Any]], seed: int) -> None:
    raw = b"".join(
        message({":event-type": name, ":message-type": "event"}, msgspec.json.encode(value)) for name, value in said
    )
    events, is_bad = outcome(raw, seed)
    assert (events, is_bad) == outcome(raw, seed + 1)
    ends = [at for at, event in enumerate(events) if isinstance(event, Ended | Failed)]
    assert ends in ([], [len(events) - 1])


@settings(deadline=None)
@given(values | st.builds(lambda content: {"output": {"message": {"content": content}}}, st.lists(values, max_size=3)))
def test_whatever_comes_as_a_whole_answer(said: Any) -> None:
    try:
        completion = CONVERSE.parse_result(msgspec.json.encode(said))
    except BadMessage:
        return
    for dialect in DIALECTS.values():
        if not isinstance(dialect, Untranslated):
            assert dialect.render_result(completion, ChatRequest(model="m", members={}))


@settings(deadline=None)
@given(st.binary(max_size=40) | values.map(msgspec.json.encode))
def test_whatever_comes_as_an_error(body: bytes) -> None:
    words = CONVERSE.parse_error(body)
    assert words is None or words.message


def test_a_picture_too_large_for_one_line_comes_through() -> None:
    """Messages are bounded, but not as lines of text are."""
    data = "A" * 2_000_000
    picture = {"contentBlockIndex": 0, "delta": {"image": {"source": {"bytes": data}}}}
    raw = message({":event-type": "contentBlockDelta", ":message-type": "event"}, msgspec.json.encode(picture))
    (events, is_bad) = outcome(raw, 3)
    assert not is_bad
    assert [type(event).__name__ for event in events] == ["Started", "MediaGiven"]
