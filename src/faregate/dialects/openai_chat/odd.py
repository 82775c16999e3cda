"""Bodies that were written for another of OpenAI's APIs and sent to this one, as some editors do when their base URL is
changed (contract.md 5.8): those with `input` in place of `messages`, and those whose tools have no object around them.

What they say is said anew in this dialect's own words (openai-openapi, CreateResponse and CreateChatCompletionRequest).
"""

from typing import Any

import msgspec

from ..bodies import Members, wrong

# Members that have another name here, and those of which one member is a member here.
_NAMES = {"max_output_tokens": "max_completion_tokens"}
_INSIDE = {"reasoning": ("effort", "reasoning_effort"), "text": ("verbosity", "verbosity")}
_TEXTS = frozenset({"input_text", "output_text", "text"})
_ABOUT_FUNCTION = ("name", "description", "parameters", "strict")

Written = dict[str, Any]


def has_input(members: Members) -> bool:
    """Whether a body says `input` where this API says `messages`."""
    return "input" in members and "messages" not in members


def from_input(members: Members) -> bytes:
    """A body with `input`, in this dialect's words. MalformedRequest for an item that has no like here."""
    said: Written = {name: msgspec.json.decode(raw) for name, raw in members.items()}
    messages: list[Written] = []
    instructions = said.pop("instructions", None)
    if instructions is not None:
        messages.append({"role": "system", "content": instructions})
    given = said.pop("input")
    messages += [{"role": "user", "content": given}] if isinstance(given, str) else _messages(given)
    body: Written = {"messages": messages}
    for name, value in said.items():
        if name in _INSIDE and isinstance(value, dict):
            inner, outer = _INSIDE[name]
            body |= {outer: value[inner]} if inner in value else {}
            body |= {"response_format": _format(value["format"])} if "format" in value else {}
        else:
            body[_NAMES.get(name, name)] = value
    return msgspec.json.encode(with_whole_tools(body))


def with_whole_tools(body: Written) -> Written:
    """A body whose functions, and a choice of one, have their object around them."""
    if isinstance(body.get("tools"), list):
        body["tools"] = [_whole(tool) for tool in body["tools"]]
    if isinstance(body.get("tool_choice"), dict):
        body["tool_choice"] = _whole(body["tool_choice"])
    return body


def _whole(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" in tool or "name" not in tool:
        return tool
    function = {name: tool[name] for name in _ABOUT_FUNCTION if tool.get(name) is not None}
    return {name: value for name, value in tool.items() if name not in _ABOUT_FUNCTION} | {"function": function}


def _messages(items: Any) -> list[Written]:
    if not isinstance(items, list):
        raise wrong("input", "it must be a string or a list of items")
    messages: list[Written] = []
    for index, item in enumerate(items):
        path = f"input[{index}]"
        if not isinstance(item, dict):
            raise wrong(path, "it must be an object")
        type_ = item.get("type", "message")
        if type_ == "message":
            content = item.get("content")
            parts = [_part(part) for part in content] if isinstance(content, list) else content
            messages.append({"role": item.get("role"), "content": parts})
        elif type_ == "function_call":
            _add_call(messages, item)
        elif type_ == "function_call_output":
            output = item.get("output")
            content = output if isinstance(output, str) else msgspec.json.encode(output).decode()
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif type_ != "reasoning":  # which this API does not take back
            raise wrong(f"{path}.type", f"a '{type_}' has no like in chat completions")
    return messages


def _add_call(messages: list[Written], item: Written) -> None:
    """Calls that follow one another are of one message."""
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    if messages and "tool_calls" in messages[-1]:
        messages[-1]["tool_calls"].append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") in _TEXTS:
        return {"type": "text", "text": part.get("text")}
    if part.get("type") == "input_image":
        address = {"url": part.get("image_url"), "detail": part.get("detail") or "auto"}
        return {"type": "image_url", "image_url": address}
    return part


def _format(given: Any) -> Any:
    if not isinstance(given, dict) or given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}
