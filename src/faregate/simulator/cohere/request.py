"""Chat bodies, read and checked as Cohere does. Sources: its API reference, "Chat" (v2), and "Errors"."""

from typing import Any

import msgspec

from ..checked import Place
from ..faults import Plan
from ..framing import event_stream
from ..question import EFFORT_TOKENS, Function, Question, Turn, arguments_text, budget_tokens
from ..refused import Refused
from ..wires import Asked, Call, Headers, bearer
from . import tables

# What ends a stream says why the answer ended: there is no mark besides that could be missing.
EVENTS = event_stream(ping=b": ping\n\n", without=frozenset({"no_done"}))

_COMPOSED = ("anyOf", "allOf", "oneOf", "not")


def authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The bearer token, any will do; Refused without one."""
    if bearer(headers) is None:
        raise Refused("no api key supplied", status=401)
    return "Authorization", headers[b"authorization"].decode("latin-1")


def call(asked: Call, _headers: Headers, _query: dict[str, str]) -> Call:
    """Cohere says everything in the body."""
    return asked


def read(data: bytes, _call: Call) -> Asked:
    """The chat in `data`; Refused where it is none."""
    body = tables.ANSWERED(decoded(data), Place((), tables.words))
    _check_order(body["messages"])
    _check_results(body["messages"])
    _check_tools(body)
    _check_format(body)
    if body.get("frequency_penalty") and body.get("presence_penalty"):
        raise Refused("invalid request: cannot specify both frequency_penalty and presence_penalty.")
    return Asked(question=_question(body), body=body, framing=EVENTS)


def decoded(data: bytes) -> Any:
    """The JSON in `data`; Refused where it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("invalid JSON in the request body") from None


def planned(body: dict[str, Any]) -> Plan:
    """The plan in a body; Refused where it is none."""
    try:
        return msgspec.convert(body.get("simulator") or {}, Plan)
    except msgspec.ValidationError as error:
        raise Refused(f"invalid request: simulator: {error}") from None


def _question(body: dict[str, Any]) -> Question:
    choice = body.get("tool_choice")
    functions = [tool["function"] for tool in body.get("tools") or ()]
    return Question(
        model=body["model"],
        id_start="",
        stream=body.get("stream") is True,
        turns=tuple(_turn(message) for message in body["messages"]),
        plan=planned(body),
        limit=body.get("max_tokens"),
        stops=tuple(body.get("stop_sequences") or ()),
        functions=tuple(Function(function["name"], function["parameters"]) for function in functions),
        tools="none" if choice == "NONE" else "required" if choice == "REQUIRED" else "auto",
        form=_form(body.get("response_format") or {}),
        thought_tokens=_thought_tokens(body.get("thinking") or {}),
    )


def _turn(message: dict[str, Any]) -> Turn:
    """The turn that a message is; a plan and thoughts are no words."""
    calls = [each["function"] for each in message.get("tool_calls") or ()]
    called = tuple((each["name"], arguments_text(each["arguments"])) for each in calls)
    content = message.get("content") or ""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    images = sum(block["type"] == "image_url" for block in blocks)
    return Turn(message["role"], "".join(map(_text, blocks)), images, called)


def _text(block: dict[str, Any]) -> str:
    if block["type"] != "document":
        return block.get("text", "")
    data = block["document"]["data"]
    return data if isinstance(data, str) else msgspec.json.encode(data).decode()


def _thought_tokens(thinking: dict[str, Any]) -> int:
    if thinking.get("type") != "enabled":
        return 0
    budget = thinking.get("token_budget")
    return EFFORT_TOKENS["high"] if budget is None else budget_tokens(budget)


def _form(asked: dict[str, Any]) -> Any:
    """The JSON Schema of the answer, `{}` for any object, None for words."""
    if asked.get("type") != "json_object":
        return None
    return asked.get("json_schema") or asked.get("schema") or {}


def _check_order(messages: list[dict[str, Any]]) -> None:
    if any(message["role"] == "system" for message in messages[1:]):
        raise Refused("system turn must be the first in the list")
    if messages[-1]["role"] == "system":
        raise Refused("invalid request: message must be at least 1 token long or tool results must be specified.")
    for message in messages:
        is_said = message.get("content") or message.get("tool_calls")
        if not is_said and message["role"] != "tool":
            raise Refused("message must not be empty in a turn")


def _check_results(messages: list[dict[str, Any]]) -> None:
    """Each call has its result right after it, each result its call right before it."""
    called: set[str] = set()
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in called:
                raise Refused(
                    f"invalid request: tool call id {message['tool_call_id']} not found in previous tool calls"
                )
            waiting.discard(message["tool_call_id"])
            continue
        _check_answered(waiting)
        called = {each["id"] for each in message.get("tool_calls") or ()}
        waiting = set(called)
    _check_answered(waiting)


def _check_answered(waiting: set[str]) -> None:
    if waiting:
        raise Refused(f"invalid request: no tool results for the tool calls {', '.join(sorted(waiting))}")


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if body.get("tool_choice") and not tools:
        raise Refused("invalid request: tool_choice needs tools")
    if not body.get("strict_tools"):
        return
    if not tools:
        raise Refused("invalid request: strict_tools needs tools")
    for tool in tools:
        parameters = tool["function"]["parameters"]
        if parameters.get("properties") and not parameters.get("required"):
            raise Refused("invalid request: tools with only optional parameters are not supported with strict_tools")


def _check_format(body: dict[str, Any]) -> None:
    """Source: Cohere, "Structured Outputs", "Schema constraints" and "Unsupported schema features"."""
    asked = body.get("response_format") or {}
    if asked.get("type") != "json_object":
        return
    for other in ("tools", "documents"):
        if body.get(other):
            raise Refused(f"invalid request: response_format is not supported with {other}.")
    schema = asked.get("json_schema") or asked.get("schema")
    if schema is None:
        return
    if schema.get("type") != "object":
        raise Refused("invalid request: the type of the top level schema must be object")
    _check_schema(schema)


def _check_schema(schema: Any) -> None:
    schemas: list[Any] = [schema]
    while schemas:
        found = schemas.pop()
        if not isinstance(found, dict):
            continue
        unsupported = next((name for name in (*_COMPOSED, "additionalProperties") if name in found), None)
        if unsupported is not None:
            raise Refused(f"invalid request: '{unsupported}' is not supported in a schema")
        if found.get("type") == "object" and not found.get("required"):
            raise Refused("invalid request: an object must have at least one required field")
        for name in ("properties", "$defs", "definitions"):
            inner = found.get(name)
            schemas += inner.values() if isinstance(inner, dict) else []
        schemas.append(found.get("items"))
