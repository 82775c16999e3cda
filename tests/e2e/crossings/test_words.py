"""What is only said: words, tokens, forms, ends and counts."""

from typing import Literal

import pytest
from pydantic import BaseModel

from tests.e2e.official.gemini import Gemini
from tests.e2e.official.messages import Messages
from tests.e2e.official.question import Question

from .crossing import HOSTS, UPSTREAMS, WIRES, Crossing, both_ways, to_each_dialect, to_each_model

QUESTIONS = {
    "plain": Question(words="Grüße, 世界 👋"),
    "system": Question(words="Who are you?", system="Be brief."),
    "history": Question(words="And now?", before=("Hi", "Hello, what is it?"), system="Be exact."),
    "said exactly": Question(plan={"text": '  two  spaces\n\n"quotes" \\ and\ttabs, 日本語 👩‍👩‍👧\n'}),
    "cached": Question(words="A long prompt, cached in part", plan={"cached_tokens": 3}),
}


class Address(BaseModel):
    street: str
    number: int
    kind: Literal["home", "work"]


class Person(BaseModel):
    name: str
    age: int | None
    addresses: list[Address]
    active: bool


@pytest.mark.contract("1.10", "1.11", "1.12")
@both_ways
@to_each_dialect
@pytest.mark.parametrize("name", QUESTIONS)
def test_the_words_and_the_tokens_are_the_providers(crossing: Crossing, model: str, streamed: bool, name: str) -> None:
    question = QUESTIONS[name]
    wanted = crossing.heard_directly(question)
    since = crossing.seq
    said = crossing.ask(model, question, streamed)
    assert said.text == wanted.text
    assert (said.end, said.model) == (crossing.client.ends[0], model)
    assert said.counts == crossing.vouched(since, said)
    (spoken,) = [name for name, (_, models) in (UPSTREAMS | HOSTS).items() if model in models]
    assert crossing.truth(since)["wire"] == WIRES[spoken]
    assert not streamed or said.pieces > 1
    assert not said.calls and not said.thoughts


class Known(BaseModel):
    """What can be said to providers that do not take every schema."""

    name: str
    age: int
    addresses: list[Address]


@both_ways
@to_each_model
@pytest.mark.parametrize("words", ["Anna", "Bert"])
def test_an_answer_has_the_form_that_was_asked_for(crossing: Crossing, model: str, streamed: bool, words: str) -> None:
    form = Known if model.startswith("command") else Person
    said = crossing.ask(model, Question(words=words, form=form), streamed)
    assert isinstance(said.parsed, form)
    assert said.parsed == form.model_validate_json(said.text)
    assert said.end == crossing.client.ends[0]


@both_ways
@to_each_dialect
def test_an_answer_that_is_cut_short_says_so(crossing: Crossing, model: str, streamed: bool) -> None:
    said = crossing.ask(model, Question(limit=16, plan={"output_tokens": 40}), streamed)
    assert said.end == crossing.client.ends[2]
    assert said.counts.generated == 16


@pytest.mark.contract("1.10", "1.11")
@to_each_dialect
def test_tokens_are_counted_before_they_are_said(crossing: Crossing, model: str) -> None:
    question = Question(words="How many tokens are these? " * 20, before=("Hi", "Hello!"))
    counted = crossing.client.count(model, question)
    if counted is None:
        pytest.skip("this SDK does not ask")
    own = {Messages: "anthropic_messages", Gemini: "gemini_generate"}.get(type(crossing.client), "")
    if model in UPSTREAMS.get(own, ("", []))[1]:
        assert counted == crossing.ask(model, question, streamed=False).counts.prompt
    else:
        assert 20 < counted < 400  # an estimate: only the provider's own dialect has a way to ask
