"""Messages bodies, read and checked as Anthropic does."""

from typing import Any

import msgspec

from ..checked import Place
from ..faults import Plan
from ..framing import event_stream
from ..question import EFFORT_TOKENS, Function, Question, Turn, arguments_text, budget_tokens
from ..refused import Refused
from ..traits import Traits, traits_of
from ..wires import Asked, Call, Headers, bearer
from . import history, tables

EVENTS = event_stream(ping=b'event: ping\ndata: {"type":"ping"}\n\n')
STRICT_SAMPLING_VERSION = "2026-10-21"
CACHE_MARKS_MAX = 4

_VERSIONS = ("2023-01-01", "2023-06-01", STRICT_SAMPLING_VERSION)
_SAMPLING = {"temperature": 1, "top_p": 1, "top_k": None}


def authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The key, in either field; Refused without one."""
    if key := headers.get(b"x-api-key", b"").strip():
        return "x-api-key", key.decode("latin-1")
    if bearer(headers) is None:
        raise Refused("x-api-key header is required", status=401)
    return "Authorization", headers[b"authorization"].decode("latin-1")


def call(asked: Call, headers: Headers, _query: dict[str, str]) -> Call:
    """The version of the wire; Refused where it is none that there is."""
    version = headers.get(b"anthropic-version", b"").decode("latin-1")
    if not version:
        raise Refused("anthropic-version: header is required")
    if version not in _VERSIONS:
        raise Refused(f'anthropic-version: "{version}" is not a valid version')
    return asked._replace(version=version)


def read(data: bytes, call: Call) -> Asked:
    """The request in `data`; Refused where it is none."""
    try:
        sent = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("The request body is not valid JSON") from None
    if not isinstance(sent, dict):
        raise Refused("Input should be a valid dictionary or object to extract fields from")
    counted = call.operation == "count"
    body = (tables.COUNTED if counted else tables.ANSWERED)(sent, Place((), tables.words))
    if not body["model"]:
        raise Refused("model: String should have at least 1 character")
    traits = traits_of(body["model"])
    _check_sampling(body, traits, call.version)
    _check_thinking(body, traits)
    _check_tools(body)
    _check_form((body.get("output_config") or {}).get("format"))
    history.check(body, traits)
    return Asked(question=_question(body), body=body, framing=EVENTS)


def _question(body: dict[str, Any]) -> Question:
    choice = body.get("tool_choice") or {}
    kind = choice.get("type", "auto")
    marks = _cache_marks([body.get("system"), body.get("tools"), body["messages"], [body]])
    if len(marks) > CACHE_MARKS_MAX:
        raise Refused(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    try:
        plan = msgspec.convert(body.get("simulator") or {}, Plan)
    except msgspec.ValidationError as error:
        raise Refused(f"simulator: {error}") from None
    form = (body.get("output_config") or {}).get("format")
    return Question(
        model=body["model"],
        id_start="msg_",
        stream=body.get("stream") is True,
        turns=tuple(_turns(body)),
        plan=plan,
        limit=body.get("max_tokens"),
        stops=tuple(body.get("stop_sequences") or ()),
        functions=tuple(
            Function(tool["name"], tool["input_schema"]) for tool in body.get("tools") or () if "input_schema" in tool
        ),
        tools="none" if kind == "none" else "required" if kind == "any" else "auto",
        named=choice["name"] if kind == "tool" else None,
        parallel=choice.get("disable_parallel_tool_use") is not True,
        form=None if form is None else form["schema"],
        thought_tokens=_thought_tokens(body),
        writes_for_an_hour=any(mark.get("ttl") == "1h" for mark in marks),
    )


def _thought_tokens(body: dict[str, Any]) -> int:
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        return budget_tokens(thinking["budget_tokens"])
    if thinking.get("type") == "adaptive":
        return EFFORT_TOKENS[(body.get("output_config") or {}).get("effort") or "high"]
    return 0


def _turns(body: dict[str, Any]) -> list[Turn]:
    """The conversation: results of tools are turns of their own, thoughts are none."""
    turns = []
    if body.get("system"):
        turns.append(Turn("system", _text(body["system"])))
    for message in body["messages"]:
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        results = [block for block in blocks if block["type"] == "tool_result"]
        turns += [Turn("tool", _text(each.get("content") or ""), _images(each.get("content"))) for each in results]
        calls = tuple((b["name"], arguments_text(b["input"])) for b in blocks if b["type"] == "tool_use")
        if len(results) < len(blocks):
            turns.append(Turn(message["role"], _text(blocks), _images(blocks), calls))
    return turns


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block.get("type") == "text")


def _images(content: Any) -> int:
    return sum(block["type"] == "image" for block in content) if isinstance(content, list) else 0


def _cache_marks(holders: list[Any]) -> list[dict[str, Any]]:
    """Every cache_control of the lists of blocks, and of what the blocks hold."""
    marks = []
    for blocks in holders:
        for block in blocks if isinstance(blocks, list) else ():
            if block.get("cache_control"):
                marks.append(block["cache_control"])
            if "messages" not in block:
                marks += _cache_marks([block.get("content")])
    return marks


def _check_sampling(body: dict[str, Any], traits: Traits, version: str) -> None:
    """Source: conformance section 0, 1; Anthropic, "API versions" and "What's new in Claude 4.7"."""
    for name, default in _SAMPLING.items():
        if name not in body:
            continue
        if version >= STRICT_SAMPLING_VERSION:
            raise Refused(f"{name}: Extra inputs are not permitted")
        if not traits.sampling and body[name] != default:
            raise Refused(f"`{name}` is deprecated for this model.")
    if "temperature" in body and "top_p" in body and not traits.both_samplings:
        raise Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _check_thinking(body: dict[str, Any], traits: Traits) -> None:
    thinking = body.get("thinking") or {}
    kind = thinking.get("type")
    if kind == "enabled":
        if not traits.budget:
            raise Refused(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and'
                ' "output_config.effort" to control thinking behavior.'
            )
        if "max_tokens" in body and body["max_tokens"] <= thinking["budget_tokens"]:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if kind == "adaptive" and not traits.adaptive:
        raise Refused("adaptive thinking is not supported on this model")
    if kind not in ("enabled", "adaptive"):
        return
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature", 1) != 1:
        raise Refused("`temperature` may only be set to 1 when thinking is enabled.")
    if body.get("top_k") is not None:
        raise Refused("`top_k` must be unset when thinking is enabled.")


def _check_tools(body: dict[str, Any]) -> None:
    names = [tool.get("name") for tool in body.get("tools") or ()]
    if len(set(names)) < len(names):
        raise Refused("tools: Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is not None and not names:
        raise Refused("tool_choice: tool_choice may only be specified while providing tools.")
    if choice is not None and choice["type"] == "tool" and choice["name"] not in names:
        raise Refused(f"Tool '{choice['name']}' not found in provided tools")


def _check_form(form: dict[str, Any] | None) -> None:
    """Structured outputs take closed objects only. Source: Anthropic, "Structured outputs", JSON Schema limitations."""
    schemas: list[Any] = [] if form is None else [form["schema"]]
    while schemas:
        schema = schemas.pop()
        if isinstance(schema, list):
            schemas += schema
        if not isinstance(schema, dict):
            continue
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            raise Refused(
                "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
            )
        for name in ("properties", "$defs", "definitions"):
            inner = schema.get(name)
            schemas += list(inner.values()) if isinstance(inner, dict) else []
        schemas += [schema.get("items"), schema.get("anyOf"), schema.get("allOf")]
