"""Google's SDK."""

from typing import Any, ClassVar

from google import genai
from google.genai import errors, types

from .question import Call, Counts, Question, Said

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


class Gemini:
    """`models`: generate_content, generate_content_stream and count_tokens."""

    ends: ClassVar[tuple[str, str, str]] = ("STOP", "STOP", "MAX_TOKENS")
    refusals: ClassVar[dict[int, type[Exception]]] = {
        400: errors.ClientError,
        401: errors.ClientError,
        404: errors.ClientError,
    }
    broken: ClassVar[type[Exception]] = errors.APIError
    nobodys: ClassVar[list[Any]] = [types.Content(role="nobody", parts=[types.Part(text="x")])]
    blind: ClassVar[tuple[list[Any], str]] = (
        [types.Content(role="user", parts=[types.Part.from_bytes(data=b"words", mime_type="image/png")])],
        "contents[0].parts[0].inlineData.data",
    )

    def __init__(self, origin: str, key: str) -> None:
        self.sdk = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=origin))

    def close(self) -> None:
        self.sdk.close()

    def turns(self, question: Question) -> list[Any]:
        said = [_content("model" if at % 2 else "user", text) for at, text in enumerate(question.before)]
        return [*said, _content("user", question.prompt)]

    def results(self, said: Said, results: dict[str, str]) -> list[Any]:
        given = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id or None, name=call.name, response={"output": results[call.name]}
                )
            )
            for call in said.calls
        ]
        return [*said.turns, types.Content(role="user", parts=given)]

    def whole(self, model: str, question: Question, turns: list[Any]) -> Said:
        answer = self.sdk.models.generate_content(model=model, contents=turns, config=_config(question))
        assert answer.candidates and answer.candidates[0].content
        return _said([answer], list(answer.candidates[0].content.parts or ()), turns, answer.parsed)

    def stream(self, model: str, question: Question, turns: list[Any]) -> Said:
        models = self.sdk.models
        chunks = list(models.generate_content_stream(model=model, contents=turns, config=_config(question)))
        contents = [each.content for chunk in chunks for each in chunk.candidates or () if each.content]
        parts = [part for content in contents for part in content.parts or ()]
        said = _said(chunks, parts, turns, None)
        parsed = question.form.model_validate_json(said.text) if question.form else None
        return Said(**{**vars(said), "parsed": parsed})

    def count(self, model: str, question: Question) -> int | None:
        return self.sdk.models.count_tokens(model=model, contents=self.turns(question)).total_tokens


def _content(role: str, text: str) -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=text)])


def _config(question: Question) -> types.GenerateContentConfig:
    members: dict[str, Any] = {"max_output_tokens": question.limit, "system_instruction": question.system}
    if question.tools:
        declared = [
            {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.parameters}
            for tool in question.tools
        ]
        members["tools"] = [{"function_declarations": declared}]
    if question.choice:
        members["tool_config"] = {"function_calling_config": {"mode": _MODES[question.choice]}}
    if question.form:
        members |= {"response_mime_type": "application/json", "response_schema": question.form}
    if question.thinks:
        amount = {"thinking_budget": 1024} if question.thinks == "budget" else {"thinking_level": "LOW"}
        members["thinking_config"] = {**amount, "include_thoughts": True}
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(automatic_function_calling=off, **members)


def _said(chunks: list[Any], parts: list[types.Part], turns: list[Any], parsed: Any) -> Said:
    last = chunks[-1]
    usage = last.usage_metadata
    thought = usage.thoughts_token_count or 0
    calls = [part.function_call for part in parts if part.function_call]
    return Said(
        text=_text(parts, thought=False),
        end=last.candidates[0].finish_reason.value,
        model=last.model_version,
        counts=Counts(
            usage.prompt_token_count,
            usage.cached_content_token_count or 0,
            (usage.candidates_token_count or 0) + thought,
            thought,
        ),
        turns=[*turns, types.Content(role="model", parts=parts)],
        thoughts=_text(parts, thought=True),
        calls=tuple(Call(call.id or "", call.name or "", call.args or {}) for call in calls),
        parsed=parsed,
        pieces=sum(1 for part in parts if part.text and not part.thought),
    )


def _text(parts: list[types.Part], *, thought: bool) -> str:
    return "".join(part.text or "" for part in parts if bool(part.thought) == thought)
