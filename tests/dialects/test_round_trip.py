"""What one dialect writes it reads again as the same, less what it is declared to be unable to say.

The declarations are the rows of LOSSES, which docs/translation.md shows as a table ("What each dialect cannot say"). A
dialect that is added adds its row; one without a row must say everything.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest
from conversations import completions, conversations, event_lists
from hypothesis import HealthCheck, given, settings

from faregate.core.chat import ChatRequest
from faregate.core.conversation import (
    Conversation,
    Media,
    Message,
    Part,
    Refusal,
    Sampling,
    Text,
    Thinking,
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
    Started,
    TextDelta,
    UsageReported,
)
from faregate.dialects import Addressee, Asked, Dialect
from faregate.dialects.table import DIALECTS

UNTRANSLATED = frozenset({"openai_completions", "openai_embeddings", "gemini_embeddings"})
TRANSLATING = sorted(set(DIALECTS) - UNTRANSLATED)


class Losses(NamedTuple):
    """What a dialect cannot say. `fields` are of a Conversation, `sampling` of its Sampling; `parts` are left out of
    messages, `is_error` is of results; `in_events` are left out of a stream. `id_prefix` stands before an answer's id,
    `refusals_are_texts` says that they are not told apart, `refusals_end` that they are why an answer ended,
    `names_no_file` that media lose their names. What `refuses_addresses` (pictures elsewhere are a 400),
    `refuses_sound` and `names_no_format` name is not asked of it, nor what `simpler` takes away. `asked` is what a
    request says outside its body."""

    fields: frozenset[str] = frozenset()
    sampling: frozenset[str] = frozenset()
    parts: tuple[type, ...] = ()
    is_error: bool = False
    in_events: tuple[type, ...] = ()
    in_answers: tuple[type, ...] = ()
    id_prefix: str = ""
    refusals_are_texts: bool = False
    refusals_end: bool = False
    refuses_addresses: bool = False
    refuses_sound: bool = False
    names_no_format: bool = False
    names_no_file: bool = False
    asked: Callable[[Conversation], Asked] = lambda _: Asked()
    simpler: Callable[[Conversation], Conversation] = lambda conversation: conversation


def without_choices(conversation: Conversation) -> Conversation:
    """Anthropic's models take either `temperature` or `top_p`, an answer is always bounded, and what form it is to have
    and how much is to be thought have tests of their own."""
    sampling = msgspec.structs.replace(conversation.sampling, top_p=None)
    if conversation.sampling.temperature is None:
        sampling = conversation.sampling
    conversation = without_the_usual(conversation)
    choice = conversation.tool_choice
    if choice is not None and choice.mode == "none":
        conversation = msgspec.structs.replace(conversation, parallel_tool_calls=None)
    if conversation.tools and conversation.parallel_tool_calls is False and choice is None:
        choice = ToolChoice("auto")  # in which it is said
    return msgspec.structs.replace(
        conversation,
        sampling=sampling,
        reasoning=None,
        output_tokens_max=conversation.output_tokens_max or 100,
        output_format=None,
        tool_choice=choice,
    )


def without_the_usual(conversation: Conversation) -> Conversation:
    """To allow calls in parallel is to say nothing."""
    given = conversation.parallel_tool_calls
    return msgspec.structs.replace(conversation, parallel_tool_calls=False if given is False else None)


LOSSES = {
    "anthropic_messages": Losses(
        sampling=frozenset({"seed", "presence_penalty", "frequency_penalty", "logit_bias"}),
        parts=(Thinking,),
        id_prefix="msg_",
        refusals_are_texts=True,
        refusals_end=True,
        refuses_sound=True,
        names_no_format=True,
        simpler=without_choices,
    ),
    "gemini_generate": Losses(
        fields=frozenset({"parallel_tool_calls", "user", "reasoning"}),
        parts=(Thinking,),
        refusals_are_texts=True,
        refuses_addresses=True,
        names_no_format=True,
        names_no_file=True,
        asked=lambda conversation: Asked(
            "m:streamGenerateContent" if conversation.stream else "m:generateContent", {"alt": "sse"}
        ),
        simpler=without_the_usual,
    ),
    "openai_chat": Losses(
        sampling=frozenset({"top_k"}),
        parts=(Thinking,),
        is_error=True,
        id_prefix="chatcmpl-",
    ),
    "openai_responses": Losses(
        fields=frozenset({"stop"}),
        sampling=frozenset({"top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias"}),
        parts=(Thinking,),
        is_error=True,
        id_prefix="resp_",
    ),
}

relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors]
)


def expressible(conversation: Conversation, losses: Losses) -> Conversation:
    """The conversation without what a dialect refuses, or has no use for."""
    conversation = losses.simpler(conversation)
    wanted = conversation.output_format
    if losses.names_no_format and wanted is not None:
        wanted = msgspec.structs.replace(wanted, name="")
    messages = conversation.messages
    if losses.refuses_sound:
        messages = tuple(
            Message(message.role, tuple(Text("a") if is_sound(part) else part for part in message.parts))
            for message in messages
        )
    if losses.refuses_addresses:
        messages = tuple(
            Message(message.role, tuple(Text("a") if getattr(part, "url", "") else part for part in message.parts))
            for message in messages
        )
    return msgspec.structs.replace(conversation, messages=messages, output_format=wanted)


def is_sound(part: Part) -> bool:
    return isinstance(part, Media) and part.kind == "audio"


def lessened(conversation: Conversation, losses: Losses) -> Conversation:
    """The conversation without what a dialect cannot say."""
    defaults = Conversation(messages=())
    changed = {name: getattr(defaults, name) for name in losses.fields}
    sampling = {name: getattr(Sampling(), name) for name in losses.sampling}
    messages = tuple(lessened_message(message, losses) for message in conversation.messages)
    return msgspec.structs.replace(
        conversation,
        messages=messages,
        sampling=msgspec.structs.replace(conversation.sampling, **sampling),
        **changed,
    )


def lessened_message(message: Message, losses: Losses) -> Message:
    """A message without what a dialect cannot say."""
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, losses.parts):
            continue
        if losses.is_error and isinstance(part, ToolResult):
            parts.append(msgspec.structs.replace(part, is_error=False))
        elif losses.names_no_file and isinstance(part, Media):
            parts.append(msgspec.structs.replace(part, name=""))
        else:
            parts.append(part)
    return Message(message.role, tuple(parts), message.name)


def addressee_of() -> Addressee:
    return Addressee(model="m", is_official=True)


def asked_for(*, include_usage: bool = True) -> ChatRequest:
    return ChatRequest(model="m", members={}, stream=True, include_usage=include_usage)


def merged(last: Event | None, event: Event) -> Event | None:
    """Both events as one, where the later goes on with what the earlier said."""
    if isinstance(event, ArgumentsDelta) and isinstance(last, ArgumentsDelta) and event.call == last.call:
        return msgspec.structs.replace(last, text=last.text + event.text)
    if isinstance(event, TextDelta) and isinstance(last, TextDelta):
        return TextDelta(last.text + event.text)
    if isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
        return ReasoningDelta(last.text + event.text)
    return None


def ordered(events: list[Event]) -> list[Event]:
    """Events with what was said in pieces in one, the usage and the end last; arguments of "{}" are none."""
    out: list[Event] = []
    for said in events:
        event = msgspec.structs.replace(said, thought_id="") if isinstance(said, ReasoningDelta) else said
        both = merged(out[-1] if out else None, event)
        if both is None:
            out.append(event)
        else:
            out[-1] = both
    out = [event for event in out if not (isinstance(event, ArgumentsDelta) and event.text == "{}")]
    return sorted(out, key=lambda event: (isinstance(event, Ended), isinstance(event, UsageReported)))


@pytest.mark.parametrize("name", TRANSLATING)
@relaxed
@given(conversation=conversations())
def test_a_request_is_read_as_it_was_written(name: str, conversation: Conversation) -> None:
    dialect: Dialect = DIALECTS[name]
    losses = LOSSES.get(name, Losses())
    conversation = expressible(conversation, losses)
    rendered = dialect.render_request(msgspec.structs.replace(conversation), addressee_of())
    found = dialect.understand(dialect.parse_request(rendered.body, losses.asked(conversation)))
    found.extra = {}
    assert found == lessened(conversation, losses)
    if found != conversation:
        assert rendered.dropped or rendered.adjusted, "something was lost in silence"


@pytest.mark.parametrize("name", TRANSLATING)
@relaxed
@given(completion=completions())
def test_an_answer_is_read_as_it_was_written(name: str, completion: Completion) -> None:
    dialect: Dialect = DIALECTS[name]
    losses = LOSSES.get(name, Losses())
    found = dialect.parse_result(dialect.render_result(completion, asked_for()))
    for choice in completion.choices:
        if losses.refusals_end and any(isinstance(part, Refusal) for part in choice.parts):
            choice.reason, choice.native_reason = "content_filter", "refusal"
        choice.parts = tuple(
            Text(part.text) if losses.refusals_are_texts and isinstance(part, Refusal) else part
            for part in choice.parts
            if not isinstance(part, losses.in_answers)
        )
    completion.id = losses.id_prefix + completion.id
    assert found == completion


@pytest.mark.parametrize("name", TRANSLATING)
@relaxed
@given(events=event_lists())
def test_a_stream_is_read_as_it_was_written(name: str, events: list[Event]) -> None:
    dialect: Dialect = DIALECTS[name]
    losses = LOSSES.get(name, Losses())
    renderer, parser = dialect.renderer(asked_for()), dialect.parser()
    raw = b"".join(renderer.render(event) for event in events[:-1]) + b"".join(renderer.finish())
    dice = random.Random(len(raw))
    found: list[Event] = []
    while raw:
        size = dice.choice((1, 7, 100, 5_000))
        found += parser.feed(raw[:size])
        raw = raw[size:]
    found += parser.close()
    expected = [event for event in events if not isinstance(event, losses.in_events)]
    if isinstance(expected[0], Started):
        expected[0] = Started(losses.id_prefix + expected[0].id, expected[0].model)
    assert ordered(found) == ordered(expected)


@pytest.mark.parametrize("name", TRANSLATING)
@relaxed
@given(events=event_lists())
def test_a_stream_that_is_cut_has_not_ended(name: str, events: list[Event]) -> None:
    dialect: Dialect = DIALECTS[name]
    renderer, parser = dialect.renderer(asked_for()), dialect.parser()
    said = [event for event in events if not isinstance(event, Finished | UsageReported | Ended)]
    raw = b"".join(renderer.render(event) for event in said)
    found = parser.feed(raw) + parser.close()
    assert not any(isinstance(event, Ended | Finished) for event in found)


def test_every_loss_is_of_a_dialect_that_translates() -> None:
    assert set(LOSSES) <= set(TRANSLATING)
