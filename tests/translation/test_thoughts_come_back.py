"""A model thinks, signs, and calls a tool; the client gives back the call with its result. What the model had signed
comes back to its provider, untouched, whether the client gave it back or has no place for it, and to no other."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.translation_cases_check import camelize, match
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import Case
from .folding import folded
from .judging import put
from .matrix import matrix_cases
from .playing import Asked
from .seeing import Seen
from .serving import settings_for

WANTS = ("thinking_tool", "stream_thinking_tool")
CASES = {case.name: case for case in matrix_cases() if case.name.startswith(WANTS) and case.wire == "compatible"}
SIGNATURE = "U0lHTkVE"
ANOTHER = "QU5PVEhFUg=="  # which no other provider has signed with
# Whose providers sign: what they are to find in the next request.
SIGNED = {
    "anthropic": [
        {"type": "thinking", "thinking": "Hmm ok", "signature": SIGNATURE},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
    ],
    "openai-responses": [
        {"type": "reasoning", "encrypted_content": SIGNATURE},
        {"type": "function_call", "call_id": "call_1", "arguments": {"$json": {"city": "Oslo"}}},
    ],
    "gemini": [{"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}, "thoughtSignature": SIGNATURE}],
    "bedrock": [
        {"reasoningContent": {"reasoningText": {"text": "Hmm ok", "signature": SIGNATURE}}},
        {"toolUse": {"toolUseId": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}},
    ],
}
# Models that sign nothing, and refuse a turn that called tools without the words before it: DeepSeek's, by both wires.
WORDS = {"reasoning": True, "reasoning_replay": "reasoning_content"}
REPLAYED = {
    case.name: replace(case, said={**case.said, "name": f"words-{case.said['name']}", "model_caps": WORDS})
    for case in matrix_cases()
    if case.name.startswith(WANTS) and case.upstream == "openai"
}
# What Claude has signed it knows at either of them.
OF_CLAUDE = {"anthropic", "bedrock"}


def message_of(case: Case, seen: Seen) -> Any:
    """The answer as the client's SDK has it."""
    if seen.is_stream:
        return folded(case.client, seen)
    whole = seen.answer.json()
    if case.client == "openai":
        return whole["choices"][0]["message"]
    if case.client == "gemini":
        return whole["candidates"][0]["content"]
    return whole


def _openai(body: dict[str, Any], message: dict[str, Any], is_whole: bool) -> None:
    call = message["tool_calls"][0]
    kept = message if is_whole else {"role": "assistant", "content": message.get("content")}
    if not is_whole:
        kept["tool_calls"] = [{name: call[name] for name in ("id", "type", "function")}]
    body["messages"] += [
        {name: value for name, value in kept.items() if name != "finish_reason"},
        {"role": "tool", "tool_call_id": call["id"], "content": "20C"},
    ]


def _responses(body: dict[str, Any], message: dict[str, Any], is_whole: bool) -> None:
    output = message["output"]
    call = next(item for item in output if item["type"] == "function_call")
    kept = output if is_whole else [call]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "20C"}
    body["input"] = [{"role": "user", "content": "hi"}, *kept, result]


def _anthropic(body: dict[str, Any], message: dict[str, Any], is_whole: bool) -> None:
    call = next(block for block in message["content"] if block["type"] == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "20C"}
    body["messages"] += [
        {"role": "assistant", "content": message["content"] if is_whole else [call]},
        {"role": "user", "content": [result]},
    ]


def _gemini(body: dict[str, Any], message: dict[str, Any], is_whole: bool) -> None:
    call = next(part["functionCall"] for part in message["parts"] if "functionCall" in part)
    result = {"name": call["name"], "response": {"result": "20C"}, **({"id": call["id"]} if "id" in call else {})}
    body["contents"] += [
        {"role": "model", "parts": message["parts"] if is_whole else [{"functionCall": call}]},
        {"role": "user", "parts": [{"functionResponse": result}]},
    ]


GIVE_BACK: dict[str, Callable[[dict[str, Any], Any, bool], None]] = {
    "openai": _openai,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}


def followed_up(case: Case, message: Any, is_whole: bool) -> Case:
    """The client's next request, with the answer and the tool's result; `is_whole` with all that the answer had."""
    said = json.loads(json.dumps(case.said))
    GIVE_BACK[case.client](said["request"]["body"], message, is_whole)
    return replace(case, said=said)


def said_by_model(case: Case, asked: Asked) -> list[Any]:
    """The pieces of the model's turn in what its provider was asked."""
    body = json.loads(asked.body)
    if case.upstream in OF_CLAUDE:
        return [block for turn in body["messages"] if turn["role"] == "assistant" for block in turn["content"]]
    if case.upstream == "gemini":
        turns = camelize(body)["contents"]
        return [part for turn in turns if turn["role"] == "model" for part in turn["parts"] if "functionCall" in part]
    return [item for item in body["input"] if item.get("type") in ("reasoning", "function_call")]


@pytest.mark.parametrize("is_whole", [True, False], ids=["all-given-back", "call-alone"])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.upstream in SIGNED])
def test_the_provider_has_its_own_back(name: str, is_whole: bool, crossing: Gateway, player: Upstream) -> None:
    case = CASES[name]
    if not case.is_translated and not is_whole:
        pytest.skip("what goes through untouched is not added to")
    seen, _ = put(case, crossing, player)
    follow_up = followed_up(case, message_of(case, seen), is_whole)
    seen, asked = put(follow_up, crossing, player)
    assert len(asked) == 1, seen.answer.body
    assert match(SIGNED[case.upstream], said_by_model(case, asked[0])) == [], asked[0].body


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.upstream in SIGNED])
def test_no_other_provider_is_shown_it(name: str, crossing: Gateway, player: Upstream) -> None:
    case = CASES[name]
    case = replace(case, said=json.loads(json.dumps(case.said).replace(SIGNATURE, ANOTHER)))
    seen, _ = put(case, crossing, player)
    message = message_of(case, seen)
    for other in CASES.values():
        is_other = other.client == case.client and other.upstream != case.upstream
        is_other = is_other and not {case.upstream, other.upstream} <= OF_CLAUDE
        if not is_other or name.startswith("stream_") != other.name.startswith("stream_") or not other.is_translated:
            continue
        seen, asked = put(followed_up(other, message, True), crossing, player)
        assert len(asked) == 1, seen.answer.body
        assert ANOTHER.encode() not in asked[0].body, (other.name, asked[0].body)


@pytest.fixture(scope="module")
def replaying(session_folder: Path, player: Upstream) -> Iterator[Gateway]:
    """A gateway whose models want their words back."""
    process = Gateway(session_folder, settings_for(REPLAYED.values(), player))
    yield process
    process.stop()


@pytest.mark.parametrize("is_whole", [True, False], ids=["all-given-back", "call-alone"])
@pytest.mark.parametrize("name", REPLAYED)
def test_who_wants_its_words_has_them_back(name: str, is_whole: bool, replaying: Gateway, player: Upstream) -> None:
    case = REPLAYED[name]
    seen, _ = put(case, replaying, player)
    follow_up = followed_up(case, message_of(case, seen), is_whole)
    seen, asked = put(follow_up, replaying, player)
    assert len(asked) == 1, seen.answer.body
    (turn,) = [each for each in json.loads(asked[0].body)["messages"] if each["role"] == "assistant"]
    assert (turn["reasoning_content"], turn["tool_calls"][0]["id"]) == ("Hmm ok", "call_1")


@pytest.mark.parametrize("name", [name for name, case in REPLAYED.items() if not case.is_translated])
def test_words_of_others_do_not_come_back(name: str, replaying: Gateway, player: Upstream) -> None:
    case = REPLAYED[name]
    seen, _ = put(case, replaying, player)
    message = message_of(case, seen)
    message["tool_calls"][0]["id"] = "call_2"
    _, asked = put(followed_up(case, message, False), replaying, player)
    assert b"Hmm ok" not in asked[0].body
