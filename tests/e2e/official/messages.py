"""Anthropic's SDK."""

from typing import Any, ClassVar

import anthropic

from .question import Call, Counts, Question, Said

_CHOICES = {"auto": "auto", "none": "none", "required": "any"}

_NO_PICTURE = {"type": "base64", "media_type": "image/png", "data": "????"}


class Messages:
    """`messages`: create, parse, stream and count_tokens."""

    ends: ClassVar[tuple[str, str, str]] = ("end_turn", "tool_use", "max_tokens")
    refusals: ClassVar[dict[int, type[Exception]]] = {
        400: anthropic.BadRequestError,
        401: anthropic.AuthenticationError,
        404: anthropic.NotFoundError,
    }
    broken: ClassVar[type[Exception]] = anthropic.APIError
    nobodys: ClassVar[list[Any]] = [{"role": "nobody", "content": "x"}]
    blind: ClassVar[tuple[list[Any], str]] = (
        [{"role": "user", "content": [{"type": "image", "source": _NO_PICTURE}]}],
        "messages[0].content[0].source.data",
    )

    def __init__(self, origin: str, key: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=origin, api_key=key, max_retries=0)

    def close(self) -> None:
        self.sdk.close()

    def turns(self, question: Question) -> list[Any]:
        said = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(question.before)]
        return [*said, {"role": "user", "content": question.prompt}]

    def results(self, said: Said, results: dict[str, str]) -> list[Any]:
        given = [{"type": "tool_result", "tool_use_id": call.id, "content": results[call.name]} for call in said.calls]
        return [*said.turns, {"role": "user", "content": given}]

    def whole(self, model: str, question: Question, turns: list[Any]) -> Said:
        members = _members(model, question, turns)
        messages = self.sdk.messages
        return _said((messages.create if question.form is None else messages.parse)(**members), turns, 0)

    def stream(self, model: str, question: Question, turns: list[Any]) -> Said:
        with self.sdk.messages.stream(**_members(model, question, turns)) as stream:
            deltas = list(stream.text_stream)
            said = _said(stream.get_final_message(), turns, len(deltas))
        assert "".join(deltas) == said.text
        return said

    def count(self, model: str, question: Question) -> int | None:
        members = _members(model, question, self.turns(question))
        del members["max_tokens"]
        return self.sdk.messages.count_tokens(**members).input_tokens


def _members(model: str, question: Question, turns: list[Any]) -> dict[str, Any]:
    members: dict[str, Any] = {"model": model, "messages": turns, "max_tokens": question.limit}
    if question.system:
        members["system"] = question.system
    if question.tools:
        members["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in question.tools
        ]
    if question.choice:
        members["tool_choice"] = {"type": _CHOICES[question.choice]}
    if question.form:
        members["output_format"] = question.form
    if question.thinks == "budget":
        members["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    elif question.thinks:
        members["thinking"] = {"type": "adaptive", "display": "summarized"}
        members["output_config"] = {"effort": "low"}
    return members


def _said(message: Any, turns: list[Any], pieces: int) -> Said:
    usage = message.usage
    cached = usage.cache_read_input_tokens or 0
    thought = getattr(usage, "output_tokens_details", None)
    return Said(
        text="".join(block.text for block in message.content if block.type == "text"),
        end=message.stop_reason,
        model=message.model,
        counts=Counts(
            usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
            cached,
            usage.output_tokens,
            thought.thinking_tokens if thought else None,
        ),
        turns=[*turns, {"role": "assistant", "content": message.content}],
        thoughts="".join(block.thinking for block in message.content if block.type == "thinking"),
        calls=tuple(Call(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"),
        parsed=getattr(message, "parsed_output", None),
        pieces=pieces,
    )
