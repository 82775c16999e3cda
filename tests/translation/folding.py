"""What a client has when it has put the pieces of a stream together: OpenAI's by its own SDK, the others as theirs do
(conformance.md 1.10, 1.11)."""

import json
from typing import Any, get_args

from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import ValidationError

from .seeing import DONE, Seen

# ResponseStreamEvent is Annotated[Union[...], ...]
_RESPONSE_EVENTS = {
    get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(ResponseStreamEvent)[0])
}


def _event_of(chunk: dict[str, Any]) -> Any:
    """An event of the Responses API as the SDK has it. ValidationError."""
    return _RESPONSE_EVENTS[chunk["type"]].model_validate(chunk)


def folded(client: str, seen: Seen) -> dict[str, Any]:
    """What the pieces of a stream make together. AssertionError, or what the SDK raises, where they do not fit."""
    return _FOLDS[client](seen)


def _openai(seen: Seen) -> dict[str, Any]:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in seen.chunks:
        if chunk != DONE:
            list(state.handle_chunk(ChatCompletionChunk.model_validate(chunk)))
    choice = state.current_completion_snapshot.choices[0].model_dump(mode="json", exclude_none=True)
    return {**choice["message"], "finish_reason": choice.get("finish_reason")}


def _responses(seen: Seen) -> dict[str, Any]:
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    for chunk in seen.chunks:
        state.handle_event(_event_of(chunk))
    whole = seen.chunks[-1]["response"]
    pieced: dict[int, str] = {}
    for chunk in seen.chunks:
        if chunk["type"] in ("response.output_text.delta", "response.function_call_arguments.delta"):
            pieced[chunk["output_index"]] = pieced.get(chunk["output_index"], "") + chunk["delta"]
    for index, text in pieced.items():
        item = whole["output"][index]
        said = item.get("arguments", "".join(part.get("text", "") for part in item.get("content", ())))
        assert text == said, f"the pieces make {text!r}, the whole says {said!r}"
    return whole


def _anthropic(seen: Seen) -> dict[str, Any]:
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for chunk in seen.chunks:
        match chunk["type"]:
            case "message_start":
                message = json.loads(json.dumps(chunk["message"]))
            case "content_block_start":
                message["content"].append(dict(chunk["content_block"]))
                assert chunk["index"] == len(message["content"]) - 1
            case "content_block_delta":
                _add_delta(message["content"][chunk["index"]], chunk["delta"], inputs, chunk["index"])
            case "content_block_stop":
                if inputs.get(chunk["index"]):
                    message["content"][chunk["index"]]["input"] = json.loads(inputs[chunk["index"]])
            case "message_delta":
                message.update(chunk["delta"])
                message["usage"].update(chunk["usage"])
    return message


def _add_delta(block: dict[str, Any], delta: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    """As the SDK does it: what does not belong to the kind of block is lost in silence."""
    kind = (block["type"], delta["type"])
    if kind == ("text", "text_delta"):
        block["text"] += delta["text"]
    elif kind == ("thinking", "thinking_delta"):
        block["thinking"] += delta["thinking"]
    elif kind == ("thinking", "signature_delta"):
        block["signature"] = delta["signature"]
    elif kind == ("text", "citations_delta"):
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
    elif kind == ("tool_use", "input_json_delta"):
        inputs[index] = inputs.get(index, "") + delta["partial_json"]


def _gemini(seen: Seen) -> dict[str, Any]:
    """Texts of a kind that follow each other are joined; the last of everything else counts."""
    parts: list[dict[str, Any]] = []
    whole: dict[str, Any] = {}
    for chunk in seen.chunks:
        whole.update({name: value for name, value in chunk.items() if name != "candidates"})
        for candidate in chunk.get("candidates", ()):
            if candidate.get("index", 0):
                continue
            whole.update({name: value for name, value in candidate.items() if name != "content"})
            for part in candidate.get("content", {}).get("parts", ()):
                if part == {"text": ""}:
                    continue
                if "text" in part and parts and "text" in parts[-1] and part.get("thought") == parts[-1].get("thought"):
                    parts[-1] = {**parts[-1], **part, "text": parts[-1]["text"] + part["text"]}
                else:
                    parts.append(dict(part))
    return {**whole, "parts": parts}


_FOLDS = {"openai": _openai, "openai-responses": _responses, "anthropic": _anthropic, "gemini": _gemini}


def misfits(client: str, seen: Seen) -> list[str]:
    """What the client's SDK would find wrong with an answer that is no error, by its own types."""
    found = []
    try:
        if client == "openai" and seen.is_stream:
            for chunk in seen.chunks:
                if chunk != DONE and "error" not in chunk:
                    ChatCompletionChunk.model_validate(chunk)
        elif client == "openai-responses" and seen.is_stream:
            for chunk in seen.chunks:
                _event_of(chunk)
        elif client == "openai":
            ChatCompletion.model_validate(seen.answer.json())
        elif client == "openai-responses":
            Response.model_validate(seen.answer.json())
    except ValidationError as error:
        found = [f"openai's SDK: {wrong['loc']}: {wrong['msg']}" for wrong in error.errors()]
    return found
