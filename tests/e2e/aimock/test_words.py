"""What is only said: words, tokens, forms and ends; the gateway takes to the provider what was asked."""

from pydantic import BaseModel

from .asking import UPSTREAMS, Asking, both_ways, to_each


class Line(BaseModel):
    what: str
    count: int


class Invoice(BaseModel):
    number: str
    lines: list[Line]
    paid: bool | None


@both_ways
@to_each
def test_words_and_tokens(asking: Asking, upstream: str, streamed: bool) -> None:
    said = asking.ask(upstream, asking.question("plain"), streamed)
    assert said.text == asking.replies["plain"]["content"]
    assert said.end == asking.client.ends[0]
    assert said.model == (None if asking.is_believed(upstream) else UPSTREAMS[upstream].model)
    assert not streamed or said.pieces > 1
    assert not said.calls and not said.thoughts
    asking.assert_counted(said, "plain")


@both_ways
@to_each
def test_instructions(asking: Asking, upstream: str, streamed: bool) -> None:
    said = asking.ask(upstream, asking.question("system", system="You are a gate."), streamed)
    assert said.text == asking.replies["system"]["content"]
    instructed, asked = asking.messages()
    assert instructed["role"] in ("system", "developer") and instructed["content"] == "You are a gate."
    assert (asked["role"], asked["content"]) == ("user", asking.replies["system"]["prompt"])
    asking.assert_counted(said, "system")


@both_ways
@to_each
def test_what_was_said_before(asking: Asking, upstream: str, streamed: bool) -> None:
    before = ("What is the capital of France?", "Paris.")
    said = asking.ask(upstream, asking.question("history", before=before), streamed)
    assert said.text == asking.replies["history"]["content"]
    turns = [(turn["role"], turn["content"]) for turn in asking.messages()]
    assert turns == [("user", before[0]), ("assistant", before[1]), ("user", asking.replies["history"]["prompt"])]


@both_ways
@to_each
def test_an_answer_that_was_cut_short(asking: Asking, upstream: str, streamed: bool) -> None:
    said = asking.ask(upstream, asking.question("cut", limit=16), streamed)
    assert said.text == asking.replies["cut"]["content"]
    assert said.end == asking.client.ends[2]
    asking.assert_counted(said, "cut")


@both_ways
@to_each
def test_an_answer_in_a_form(asking: Asking, upstream: str, streamed: bool) -> None:
    said = asking.ask(upstream, asking.question("form", form=Invoice), streamed)
    assert said.parsed == Invoice.model_validate_json(asking.replies["form"]["content"])


@both_ways
@to_each
def test_thoughts(asking: Asking, upstream: str, streamed: bool) -> None:
    thinks = UPSTREAMS[upstream].thinks
    said = asking.ask(upstream, asking.question("thinks", thinks=thinks), streamed)
    assert said.thoughts == asking.replies["thinks"]["reasoning"]
    assert said.text == asking.replies["thinks"]["content"]
    assert said.end == asking.client.ends[0]
    asking.assert_counted(said, "thinks")
