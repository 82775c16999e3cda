"""Responses bodies, read and checked as OpenAI does."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from ..checked import Place
from ..faults import Plan
from ..framing import event_stream
from ..question import EFFORT_TOKENS, Function, Question, Turn, arguments_text
from ..refused import Refused
from ..signatures import is_genuine
from ..traits import traits_of
from ..wires import Asked, Call
from . import tables

REASONING = "openai reasoning"
EVENTS = event_stream(ping=b": ping\n\n")

Mode = Literal["auto", "none", "required"]


def read(data: bytes, call: Call) -> Asked:
    """The request in `data`; Refused where it is none."""
    try:
        sent = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("We could not parse the JSON body of your request.") from None
    if not isinstance(sent, dict):
        raise Refused("Invalid type for body: expected an object.")
    counted = call.operation == "count"
    body = (tables.COUNTED if counted else tables.ANSWERED)(sent, Place((), tables.words))
    if not body.get("input"):
        raise Place(("input",), tables.words).refuse("missing")
    if body.get("previous_response_id"):
        said = f"Previous response with id '{body['previous_response_id']}' not found."
        raise Refused(said, param="previous_response_id", code="previous_response_not_found")
    for name in ("background", "conversation", "prompt"):
        if body.get(name):
            raise Refused(f"The simulator keeps no state for '{name}'.", param=name, code="unsupported_parameter")
    _check_traits(body)
    _check_tools(body)
    if isinstance(body["input"], list):
        _check_items(body["input"])
    return Asked(question=_question(body), body=body, framing=EVENTS)


def _question(body: dict[str, Any]) -> Question:
    try:
        plan = msgspec.convert(body.get("simulator") or {}, Plan)
    except msgspec.ValidationError as error:
        raise Refused(f"simulator: {error}", param="simulator") from None
    mode, named, functions = _tools(body)
    form = body.get("text", {}).get("format", {})
    return Question(
        model=body["model"],
        id_start="resp_",
        stream=body.get("stream") is True,
        turns=tuple(_turns(body)),
        plan=plan,
        limit=body.get("max_output_tokens"),
        functions=functions,
        tools=mode,
        named=named,
        parallel=body.get("parallel_tool_calls") is not False,
        form={"json_schema": form.get("schema"), "json_object": {}}.get(form.get("type", "")),
        thought_tokens=EFFORT_TOKENS[(body.get("reasoning") or {}).get("effort") or "none"],
    )


def _tools(body: dict[str, Any]) -> tuple[Mode, str | None, tuple[Function, ...]]:
    """How tools may be called, the one that has to be, and those that may."""
    functions = [tool for tool in body.get("tools", ()) if tool["type"] == "function"]
    choice, named = body.get("tool_choice", "auto"), None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        names = {tool.get("name") for tool in choice["tools"]}
        functions = [each for each in functions if each["name"] in names]
        choice = choice["mode"]
    if isinstance(choice, dict) and choice.get("type") == "function":
        named = choice["name"]
    mode: Mode = "none" if choice == "none" else "required" if choice == "required" else "auto"
    return mode, named, tuple(Function(each["name"], each.get("parameters")) for each in functions)


def _turns(body: dict[str, Any]) -> Iterator[Turn]:
    """The conversation: what the model said and called one after the other is one turn, thoughts are none."""
    if body.get("instructions"):
        yield Turn("system", body["instructions"])
    items = body["input"]
    if isinstance(items, str):
        yield Turn("user", items)
        return
    said: Turn | None = None
    for item in items:
        own = _own_turn(item)
        if own is not None:
            said = own if said is None else said._replace(text=said.text + own.text, calls=said.calls + own.calls)
        elif item.get("type") != "reasoning":
            if said is not None:
                yield said
            said = None
            yield from _told(item)
    if said is not None:
        yield said


def _own_turn(item: dict[str, Any]) -> Turn | None:
    if item.get("type") == "function_call":
        return Turn("assistant", "", 0, ((item["name"], arguments_text(item["arguments"])),))
    return Turn("assistant", _text(item["content"])) if item.get("role") == "assistant" else None


def _told(item: dict[str, Any]) -> Iterator[Turn]:
    if item.get("type") == "function_call_output":
        yield Turn("tool", _text(item["output"]), _images(item["output"]))
    elif "role" in item:
        role: Literal["user", "system"] = "user" if item["role"] == "user" else "system"
        yield Turn(role, _text(item["content"]), _images(item["content"]))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or "" for part in content)


def _images(content: Any) -> int:
    return sum(part["type"] == "input_image" for part in content) if isinstance(content, list) else 0


def _check_traits(body: dict[str, Any]) -> None:
    """Source: platform.openai.com, "Reasoning models" and "Using GPT-5.5", parameter compatibility."""
    traits = traits_of(body["model"])
    asked = [name for name in ("temperature", "top_p") if body.get(name) not in (None, 1)]
    refused = asked if not traits.sampling else []
    if not traits.reasons and (body.get("reasoning") or {}).get("effort") is not None:
        refused = ["reasoning.effort"]
    if refused:
        said = f"Unsupported parameter: '{refused[0]}' is not supported with this model."
        raise Refused(said, param=refused[0], code="unsupported_parameter")


def _check_tools(body: dict[str, Any]) -> None:
    mode, named, functions = _tools(body)
    if mode == "required" and not body.get("tools"):
        said = "Tool choice 'required' must be specified with 'tools' parameter."
        raise Refused(said, param="tool_choice", code="invalid_value")
    if named is not None and named not in [function.name for function in functions]:
        raise Refused(f"Tool choice 'function' not found in 'tools' parameter: {named}.", param="tool_choice")
    for position, tool in enumerate(body.get("tools", ())):
        if tool["type"] == "function" and tool.get("strict") and (wrong := _looseness(tool.get("parameters"))):
            said = f"Invalid schema for function '{tool['name']}': {wrong}"
            raise Refused(said, param=f"tools[{position}].parameters", code="invalid_function_parameters")
    form = body.get("text", {}).get("format", {})
    if form.get("strict") and (wrong := _looseness(form.get("schema"))):
        said = f"Invalid schema for response_format '{form['name']}': {wrong}"
        raise Refused(said, param="text.format.schema", code="invalid_json_schema")


def _looseness(schema: Any, context: tuple[str, ...] = ()) -> str:
    """What strict mode has against a schema, or nothing. Source: OpenAI, "Structured outputs", supported schemas."""
    if isinstance(schema, list):
        return next((wrong for each in schema if (wrong := _looseness(each, context))), "")
    if not isinstance(schema, dict):
        return ""
    properties = schema.get("properties") or {}
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in schema.get("required", ())]
        if missing:
            said = "'required' is required to be supplied and to be an array including every key in properties."
            return f"In context={context}, {said} Missing '{missing[0]}'."
    inner = [(("properties", name), each) for name, each in properties.items()]
    inner += [(("$defs", name), each) for name, each in (schema.get("$defs") or {}).items()]
    inner += [((name,), schema.get(name)) for name in ("items", "anyOf")]
    return next((wrong for steps, each in inner if (wrong := _looseness(each, context + steps))), "")


def _check_items(items: list[dict[str, Any]]) -> None:
    """Calls and outputs in pairs, thoughts with what followed them and as they were."""
    called: set[str] = set()
    answered = {item["call_id"] for item in items if item.get("type") == "function_call_output"}
    for position, item in enumerate(items):
        kind = item.get("type")
        if kind == "function_call":
            called.add(item["call_id"])
            if item["call_id"] not in answered:
                raise Refused(f"No tool output found for function call {item['call_id']}.", param="input")
        elif kind == "function_call_output" and item["call_id"] not in called:
            said = f"No tool call found for function call output with call_id {item['call_id']}."
            raise Refused(said, param="input")
        elif kind == "reasoning":
            _check_reasoning(item, items[position + 1 :])


def _check_reasoning(item: dict[str, Any], after: list[dict[str, Any]]) -> None:
    proof = item.get("encrypted_content")
    if proof is not None and not is_genuine(proof, REASONING, item["id"]):
        said = f"The encrypted content for item {item['id']} could not be verified."
        raise Refused(said, code="invalid_encrypted_content")
    following = after[0] if after else {}
    if following.get("type") not in ("function_call", "reasoning") and following.get("role") != "assistant":
        said = f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
        raise Refused(said, param="input")
