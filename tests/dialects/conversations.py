"""Random requests and answers in the gateway's own words, for properties that hold of every dialect.

What is made is in the order in which dialects say it (thoughts, words, calls), and calls have their results.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st

from faregate.core.conversation import (
    Choice,
    Citation,
    Conversation,
    Function,
    Media,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from faregate.core.events import (
    ArgumentsDelta,
    Completion,
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from faregate.core.usage import Usage, UsageSource

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJUVPRgo="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
TOOL_NAMES = ("get_weather", "search", "book")

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: text == text.strip()
)
objects = st.dictionaries(st.sampled_from(("city", "days", "π")), st.integers(-9, 9) | words, max_size=3)
texts = words.map(Text)
images = st.sampled_from(
    (
        Media(kind="image", media_type="image/png", data=PNG),
        Media(kind="image", url="https://example.com/a.png"),
    )
)
documents = st.just(Media(kind="document", media_type="application/pdf", data=PDF, name="a.pdf"))
sounds = st.just(Media(kind="audio", media_type="audio/wav", data=WAV))
thoughts = words.map(lambda text: Thinking(text=text))
schemas = st.just(msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'))


def _arguments(members: Mapping[Any, object]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


functions = st.lists(
    st.builds(Function, name=st.sampled_from(TOOL_NAMES), description=st.just("") | words, parameters=schemas),
    unique_by=lambda function: function.name,
    max_size=3,
)
samplings = st.builds(
    Sampling,
    temperature=st.none() | st.sampled_from((0.0, 0.5, 1.0)),
    top_p=st.none() | st.sampled_from((0.25, 1.0)),
    top_k=st.none() | st.integers(1, 100),
    seed=st.none() | st.integers(0, 2**31 - 1),
    presence_penalty=st.none() | st.just(0.5),
    frequency_penalty=st.none() | st.just(-0.5),
)
reasonings = st.none() | st.builds(Reasoning, effort=st.sampled_from(("none", "low", "medium", "high")))
formats = st.none() | st.just(OutputFormat()) | st.builds(OutputFormat, schema=schemas, name=st.just("place"))


@st.composite
def _calls(draw: st.DrawFn, turn: int) -> list[Message]:
    """An answer that calls tools, and their results."""
    count = draw(st.integers(1, 3))
    calls = [
        ToolCall(id=f"call_{turn}_{n}", name=draw(st.sampled_from(TOOL_NAMES)), arguments=_arguments(draw(objects)))
        for n in range(count)
    ]
    results = [
        ToolResult(call_id=call.id, parts=(draw(texts),), is_error=draw(st.sampled_from((False, False, True))))
        for call in calls
    ]
    said = draw(st.lists(thoughts, max_size=1)) + draw(st.lists(texts, max_size=1))
    return [Message("assistant", (*said, *calls)), Message("user", tuple(results))]


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """A request. It begins with the user's turn, and turns alternate, after what the system says."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", (draw(texts),)))
    user_parts: st.SearchStrategy[list[Part]] = st.lists(texts | images | documents | sounds, min_size=1, max_size=3)
    for turn in range(draw(st.integers(0, 2))):
        messages.append(Message("user", tuple(draw(user_parts))))
        if draw(st.booleans()):
            messages += draw(_calls(turn))
        messages.append(Message("assistant", (*draw(st.lists(thoughts, max_size=1)), draw(texts))))
    messages.append(Message("user", tuple(draw(user_parts))))
    tools = tuple(draw(functions))
    names = [tool.name for tool in tools]
    choice: ToolChoice | None = None
    if names:
        choice = draw(
            st.none()
            | st.sampled_from((ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")))
            | st.sampled_from(names).map(lambda name: ToolChoice("required", (name,)))
        )
    return Conversation(
        messages=tuple(messages),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        output_format=draw(formats),
        sampling=draw(samplings),
        stop=tuple(draw(st.lists(words, max_size=4, unique=True))),
        output_tokens_max=draw(st.none() | st.integers(1, 4_096)),
        reasoning=draw(reasonings),
        user=draw(st.just("") | st.just("user-1")),
        stream=draw(st.booleans()),
    )


citations = st.builds(Citation, url=st.just("https://example.com/"), title=words, start=st.just(0), end=st.just(1))
usages = st.builds(
    Usage,
    input=st.integers(1, 1_000),
    cache_read=st.integers(0, 100),
    output=st.integers(1, 1_000),
    reasoning=st.integers(0, 100),
    source=st.just(UsageSource.PROVIDER),
)


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    """A whole answer of one choice: thoughts, words, calls; or a refusal."""
    calls = [
        ToolCall(id=f"call_{n}", name=draw(st.sampled_from(TOOL_NAMES)), arguments=_arguments(draw(objects)))
        for n in range(draw(st.integers(0, 3)))
    ]
    parts: list[Part] = [*draw(st.lists(thoughts, max_size=1)), *draw(st.lists(texts, max_size=1)), *calls]
    if not parts:
        parts = [draw(texts | words.map(Refusal))]
    reason = "tool_calls" if calls else draw(st.sampled_from(("stop", "length")))
    choice = Choice(parts=tuple(parts), reason=reason)
    return Completion(id="id-1", model="m", choices=[choice], usage=draw(usages))


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """A stream of one choice, ended."""
    events: list[Event] = [Started("id-1", "m")]
    thought = draw(st.lists(words, max_size=3))
    events += [ReasoningDelta(text) for text in thought]
    if thought and draw(st.booleans()):
        events.append(Signed(signature="c2lnbmVk", signed_by="anthropic_messages"))
    events += [TextDelta(text) for text in draw(st.lists(words, min_size=0 if thought else 1, max_size=3))]
    count = draw(st.integers(0, 3))
    for call in range(count):
        events.append(ToolCallStarted(call=call, id=f"call_{call}", name=draw(st.sampled_from(TOOL_NAMES))))
        arguments = _arguments(draw(objects))
        cut = draw(st.integers(0, len(arguments)))
        events += [ArgumentsDelta(call=call, text=text) for text in (arguments[:cut], arguments[cut:]) if text]
    events.append(Finished(reason="tool_calls" if count else draw(st.sampled_from(("stop", "length")))))
    return [*events, UsageReported(draw(usages)), Ended()]
