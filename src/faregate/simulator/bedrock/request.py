"""Converse bodies, read and checked as Bedrock does."""

import re
from typing import Any

import msgspec

from ..checked import Place
from ..faults import Plan
from ..question import EFFORT_TOKENS, Function, Question, Turn, arguments_text, budget_tokens
from ..refused import Refused
from ..traits import Traits, traits_of
from ..wires import Asked, Call, Headers
from . import history, tables
from .encoding import EVENTS

# arn:...:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0
_CLAUDE = re.compile(r"(?:\A|[/.])anthropic\.(claude-[a-z0-9.-]+?)(?:-v\d+)?(?::\d+\w*)?\Z")
_OF_CLAUDE = frozenset({"thinking", "top_k", "tool_choice", "anthropic_beta", "metadata"})


def call(asked: Call, _headers: Headers, _query: dict[str, str]) -> Call:
    """All is said by the path."""
    return asked


def read(data: bytes, call: Call) -> Asked:
    """The request in `data`; Refused where it is none."""
    try:
        sent = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("Unable to parse the request body.", code="SerializationException") from None
    if not isinstance(sent, dict):
        raise Refused("Start of structure or map found where not expected.", code="SerializationException")
    body = tables.BODY(sent, Place((), tables.words))
    claude = _CLAUDE.search(call.model)
    traits = traits_of(claude[1] if claude is not None else call.model)
    fields = body.get("additionalModelRequestFields", {})
    unknown = sorted(fields.keys() - _OF_CLAUDE)
    if claude is not None and unknown:
        raise Refused(f"The model returned the following errors: {unknown[0]}: Extra inputs are not permitted")
    _check_thinking(body, fields, traits)
    _check_sampling(body, fields, traits)
    _check_tools(body, fields)
    history.check(body, traits)
    return Asked(question=_question(body, call), body=body, framing=EVENTS)


def _question(body: dict[str, Any], call: Call) -> Question:
    config = body.get("toolConfig", {})
    choice = config.get("toolChoice", {})
    fields = body.get("additionalModelRequestFields", {})
    inference = body.get("inferenceConfig", {})
    try:
        plan = msgspec.convert(body.get("simulator") or {}, Plan)
    except msgspec.ValidationError as error:
        raise Refused(f"simulator: {error}") from None
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    return Question(
        model=call.model,
        id_start="",
        stream=call.stream,
        turns=tuple(_turns(body)),
        plan=plan,
        limit=inference.get("maxTokens"),
        stops=tuple(inference.get("stopSequences", ())),
        functions=tuple(Function(spec["name"], spec["inputSchema"]["json"]) for spec in specs),
        tools="required" if "any" in choice else "auto",
        named=choice["tool"]["name"] if "tool" in choice else None,
        parallel=not fields.get("tool_choice", {}).get("disable_parallel_tool_use"),
        form=_form(body),
        thought_tokens=_thought_tokens(body, fields),
        writes_for_an_hour='"ttl":"1h"' in msgspec.json.encode(body).decode(),
    )


def _form(body: dict[str, Any]) -> Any:
    wanted = body.get("outputConfig", {}).get("textFormat")
    if wanted is None:
        return None
    try:
        return msgspec.json.decode(wanted["structure"]["jsonSchema"]["schema"])
    except (msgspec.DecodeError, RecursionError):
        raise Refused("The schema in outputConfig.textFormat is not valid JSON.") from None


def _thought_tokens(body: dict[str, Any], fields: dict[str, Any]) -> int:
    thinking = fields.get("thinking", {})
    if thinking.get("type") == "enabled":
        return budget_tokens(thinking["budget_tokens"])
    if thinking.get("type") == "adaptive":
        return EFFORT_TOKENS[body.get("outputConfig", {}).get("effort", "high")]
    reasoning = fields.get("reasoningConfig", {})
    if reasoning.get("type") == "enabled":
        return EFFORT_TOKENS[reasoning["maxReasoningEffort"]]
    return EFFORT_TOKENS[fields.get("reasoning_effort", "none")]


def _turns(body: dict[str, Any]) -> list[Turn]:
    """The conversation: results of tools are turns of their own, thoughts are none."""
    turns = []
    if body.get("system"):
        turns.append(Turn("system", "\n".join(block["text"] for block in body["system"] if "text" in block)))
    for message in body["messages"]:
        blocks = message["content"]
        results = [block["toolResult"]["content"] for block in blocks if "toolResult" in block]
        turns += [Turn("tool", _text(content), _images(content)) for content in results]
        calls = tuple(
            (block["toolUse"]["name"], arguments_text(block["toolUse"]["input"]))
            for block in blocks
            if "toolUse" in block
        )
        if any("toolResult" not in block and "cachePoint" not in block for block in blocks):
            turns.append(Turn(message["role"], _text(blocks), _images(blocks), calls))
    return turns


def _text(blocks: list[dict[str, Any]]) -> str:
    return "".join(
        block["text"] if "text" in block else msgspec.json.encode(block["json"]).decode()
        for block in blocks
        if "text" in block or "json" in block
    )


def _images(blocks: list[dict[str, Any]]) -> int:
    return sum("image" in block for block in blocks)


def _check_thinking(body: dict[str, Any], fields: dict[str, Any], traits: Traits) -> None:
    thinking = fields.get("thinking", {})
    if not isinstance(thinking, dict) or thinking.get("type", "disabled") not in ("enabled", "adaptive", "disabled"):
        raise Refused("The model returned the following errors: thinking: Input should be a valid dictionary")
    kind = thinking.get("type")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not traits.budget:
            raise Refused('The model returned the following errors: "thinking.type.enabled" is not supported')
        if not isinstance(budget, int) or budget < 1024:
            raise Refused("The model returned the following errors: thinking.enabled.budget_tokens: at least 1024")
        if body.get("inferenceConfig", {}).get("maxTokens", budget + 1) <= budget:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if kind == "adaptive" and not traits.adaptive:
        raise Refused("The model returned the following errors: adaptive thinking is not supported on this model")
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if kind in ("enabled", "adaptive") and ("any" in choice or "tool" in choice):
        raise Refused("Thinking may not be enabled when tool_choice forces tool use.")


def _check_sampling(body: dict[str, Any], fields: dict[str, Any], traits: Traits) -> None:
    inference = body.get("inferenceConfig", {})
    said = {name: inference[name] for name in ("temperature", "topP") if name in inference}
    if not traits.sampling and any(value != 1 for value in said.values()):
        raise Refused("The model returned the following errors: `temperature` is deprecated for this model.")
    if len(said) > 1 and not traits.both_samplings:
        raise Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if fields.get("thinking", {}).get("type") not in ("enabled", "adaptive"):
        return
    if inference.get("temperature", 1) != 1 or "top_k" in fields:
        raise Refused("`temperature` may only be set to 1 when thinking is enabled, and `top_k` not at all.")


def _check_tools(body: dict[str, Any], fields: dict[str, Any]) -> None:
    config = body.get("toolConfig", {})
    names = [tool["toolSpec"]["name"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    if len(set(names)) < len(names):
        raise Refused("The tool names in toolConfig must be unique.")
    choice = config.get("toolChoice")
    if choice is not None and choice.get("tool", {}).get("name", *names[:1]) not in names:
        raise Refused("The tool of toolConfig.toolChoice is none of toolConfig.tools.")
    if choice is not None and "tool_choice" in fields:
        raise Refused("The additional field tool_choice conflicts with an existing field.")
