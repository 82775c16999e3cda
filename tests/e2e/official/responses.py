"""OpenAI's SDK, Responses."""

import json
from typing import Any, ClassVar

import openai

from .question import Call, Counts, Question, Said


class Failed(openai.OpenAIError):
    """A stream ended with an `error`, which the SDK's helper hands on as an event and does not raise."""


class Responses:
    """`responses`: create, parse and stream, without a store: the items go back as they came."""

    ends: ClassVar[tuple[str, str, str]] = ("completed", "completed", "incomplete")
    refusals: ClassVar[dict[int, type[Exception]]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        404: openai.NotFoundError,
    }
    broken: ClassVar[type[Exception]] = openai.OpenAIError
    nobodys: ClassVar[list[Any]] = [{"role": "nobody", "content": "x"}]
    blind: ClassVar[tuple[list[Any], str]] = (
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,????"}]}],
        "input[0].content[0].image_url",
    )

    def __init__(self, origin: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{origin}/v1", api_key=key, max_retries=0)

    def close(self) -> None:
        self.sdk.close()

    def turns(self, question: Question) -> list[Any]:
        said = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(question.before)]
        return [*said, {"role": "user", "content": question.prompt}]

    def results(self, said: Said, results: dict[str, str]) -> list[Any]:
        given = [
            {"type": "function_call_output", "call_id": call.id, "output": results[call.name]} for call in said.calls
        ]
        return [*said.turns, *given]

    def whole(self, model: str, question: Question, turns: list[Any]) -> Said:
        members = _members(model, question, turns)
        responses = self.sdk.responses
        return _said((responses.create if question.form is None else responses.parse)(**members), turns, 0)

    def stream(self, model: str, question: Question, turns: list[Any]) -> Said:
        with self.sdk.responses.stream(**_members(model, question, turns)) as stream:
            events = list(stream)
            deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
            # The SDK's helper has no final response of a stream that was cut short; its last event has.
            last = events[-1]
            if last.type == "error":
                raise Failed(last.message)
            response = last.response if last.type == "response.incomplete" else stream.get_final_response()
            said = _said(response, turns, len(deltas))
        assert "".join(deltas) == said.text
        return said

    def count(self, model: str, question: Question) -> int | None:
        return None


def _members(model: str, question: Question, turns: list[Any]) -> dict[str, Any]:
    members: dict[str, Any] = {"model": model, "input": turns, "max_output_tokens": question.limit, "store": False}
    if question.system:
        members["instructions"] = question.system
    if question.tools:
        members["tools"] = [{"type": "function", "strict": False, **tool._asdict()} for tool in question.tools]
    if question.choice:
        members["tool_choice"] = question.choice
    if question.form:
        members["text_format"] = question.form
    if question.thinks:
        members["reasoning"] = {"effort": "low", "summary": "auto"}
        members["include"] = ["reasoning.encrypted_content"]
    return members


def _said(answer: Any, turns: list[Any], pieces: int) -> Said:
    usage = answer.usage
    thoughts = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary]
    return Said(
        text=answer.output_text,
        end=answer.status,
        model=answer.model,
        counts=Counts(
            usage.input_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens,
            usage.output_tokens_details.reasoning_tokens,
        ),
        turns=[*turns, *answer.output],
        thoughts="".join(thoughts),
        calls=tuple(
            Call(item.call_id, item.name, json.loads(item.arguments))
            for item in answer.output
            if item.type == "function_call"
        ),
        parsed=getattr(answer, "output_parsed", None),
        pieces=pieces,
    )
