"""OpenAI's SDK, chat completions."""

import json
from typing import Any, ClassVar

import openai

from .question import Call, Counts, Question, Said


class Chat:
    """`chat.completions`: create, parse and stream."""

    ends: ClassVar[tuple[str, str, str]] = ("stop", "tool_calls", "length")
    refusals: ClassVar[dict[int, type[Exception]]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        404: openai.NotFoundError,
    }
    broken: ClassVar[type[Exception]] = openai.APIError
    nobodys: ClassVar[list[Any]] = [{"role": "nobody", "content": "x"}]
    blind: ClassVar[tuple[list[Any], str]] = (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,????"}}]}],
        "messages[0].content[0].image_url.url",
    )

    def __init__(self, origin: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{origin}/v1", api_key=key, max_retries=0)

    def close(self) -> None:
        self.sdk.close()

    def turns(self, question: Question) -> list[Any]:
        first = [{"role": "system", "content": question.system}] if question.system else []
        said = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(question.before)]
        return [*first, *said, {"role": "user", "content": question.prompt}]

    def results(self, said: Said, results: dict[str, str]) -> list[Any]:
        given = [{"role": "tool", "tool_call_id": call.id, "content": results[call.name]} for call in said.calls]
        return [*said.turns, *given]

    def whole(self, model: str, question: Question, turns: list[Any]) -> Said:
        members = _members(model, question, turns)
        chat = self.sdk.chat.completions
        return _said((chat.create if question.form is None else chat.parse)(**members), turns, 0)

    def stream(self, model: str, question: Question, turns: list[Any]) -> Said:
        members = _members(model, question, turns)
        with self.sdk.chat.completions.stream(**members, stream_options={"include_usage": True}) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            said = _said(_final(stream), turns, len(deltas))
        assert "".join(deltas) == said.text
        return said

    def count(self, model: str, question: Question) -> int | None:
        return None


def _final(stream: Any) -> Any:
    """What a stream came to; the SDK raises one that was cut short."""
    try:
        return stream.get_final_completion()
    except openai.LengthFinishReasonError as cut:
        return cut.completion


def _members(model: str, question: Question, turns: list[Any]) -> dict[str, Any]:
    members: dict[str, Any] = {"model": model, "messages": turns, "max_completion_tokens": question.limit}
    if question.tools:
        members["tools"] = [{"type": "function", "function": tool._asdict()} for tool in question.tools]
    if question.choice:
        members["tool_choice"] = question.choice
    if question.form:
        members["response_format"] = question.form
    if question.thinks:
        members["reasoning_effort"] = "low"
    return members


def _said(answer: Any, turns: list[Any], pieces: int) -> Said:
    (choice,) = answer.choices
    message, usage = choice.message, answer.usage
    cached, thought = usage.prompt_tokens_details, usage.completion_tokens_details
    return Said(
        text=message.content or "",
        end=choice.finish_reason,
        model=answer.model,
        counts=Counts(
            usage.prompt_tokens,
            cached.cached_tokens if cached else 0,
            usage.completion_tokens,
            thought.reasoning_tokens if thought else 0,
        ),
        turns=[*turns, message],
        thoughts=getattr(message, "reasoning_content", None) or "",
        calls=tuple(
            Call(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()
        ),
        parsed=getattr(message, "parsed", None),
        pieces=pieces,
    )
