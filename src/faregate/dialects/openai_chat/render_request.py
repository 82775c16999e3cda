"""A Conversation as the body for an upstream (openai-openapi, CreateChatCompletionRequest; conformance 2.1)."""

import msgspec

from ...core.conversation import Conversation, Foreign, Function, OutputFormat, ToolChoice
from ...core.errors import Inexpressible
from .. import Addressee, Rendered
from ..efforts import effort_of
from .render_messages import MessagesWriter, Written
from .understand_parts import DIALECT

STOPS_MAX = 4
_SAMPLING = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"),
    *("seed", "logprobs", "top_logprobs"),
)
_REFUSED_BY_REASONERS = frozenset(_SAMPLING[:5])
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
# Members that other dialects of OpenAI's share, and that only OpenAI itself is sure to take.
_SHARED = frozenset(
    {
        *("metadata", "store", "prediction", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"),
        *("verbosity", "web_search_options", "modalities", "audio"),
    }
)
_RENAMED = {"text.verbosity": "verbosity"}  # by the Responses API


def render_request(conversation: Conversation, addressee: Addressee) -> Rendered:
    """The body for an upstream. Inexpressible for what it cannot be told and must not be left out."""
    return _Writer(conversation, addressee).write()


class _Writer:
    """Writes one body."""

    def __init__(self, conversation: Conversation, addressee: Addressee) -> None:
        self._said = conversation
        self._addressee = addressee
        self._body: Written = {}
        self._dropped: list[str] = []
        self._adjusted: list[str] = []

    def write(self) -> Rendered:
        said, body = self._said, self._body
        if self._addressee.capabilities.prefill is False and said.messages and said.messages[-1].role == "assistant":
            raise Inexpressible("This model cannot go on with an answer that was begun.", param="messages")
        messages = MessagesWriter(self._addressee)
        body["model"] = self._addressee.model
        body["messages"] = messages.write(said.messages)
        self._dropped += messages.dropped
        self._write_tools()
        if said.output_format is not None:
            body["response_format"] = _format(said.output_format)
        self._write_sampling()
        self._write_bounds()
        self._write_reasoning()
        self._write_rest()
        if said.stream:
            body["stream"] = True
            if self._addressee.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return Rendered(msgspec.json.encode(body), tuple(dict.fromkeys(self._dropped)), tuple(self._adjusted))

    def _write_tools(self) -> None:
        said, body = self._said, self._body
        tools, choice = said.tools, said.tool_choice
        if not tools:
            if choice is not None and choice.mode == "required":
                self._dropped.append("tool_choice")
            if said.parallel_tool_calls is not None:
                self._dropped.append("parallel_tool_calls")
            return
        if choice is not None:
            if choice.names and not self._addressee.is_official and not _is_one(choice):
                # Compatible servers do not know `allowed_tools`: the model is not shown the others.
                tools = tuple(tool for tool in tools if tool.name in choice.names or isinstance(tool, Foreign))
                choice = ToolChoice(choice.mode)
            body["tool_choice"] = _choice(choice)
        body["tools"] = [self._tool(tool) for tool in tools]
        if said.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = said.parallel_tool_calls

    def _tool(self, tool: Function | Foreign) -> object:
        if isinstance(tool, Foreign):
            if tool.dialect != DIALECT:
                raise Inexpressible(
                    f"The provider of this model has no tool '{tool.name}'.", param=tool.path or "tools"
                )
            return tool.raw
        if tool.cache:
            self._dropped.append("cache_control")
        function: Written = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters is not None:
            function["parameters"] = tool.parameters
        if tool.strict is not None:
            function["strict"] = tool.strict
        return {"type": "function", "function": function}

    def _write_sampling(self) -> None:
        sampling = self._said.sampling
        refused = _REFUSED_BY_REASONERS if self._addressee.capabilities.sampling is False else frozenset()
        for name in _SAMPLING:
            value = getattr(sampling, name)
            if value is None:
                continue
            if name in refused:
                self._dropped.append(name)
            else:
                self._body[name] = value
        if sampling.top_k is not None:
            self._dropped.append("top_k")

    def _write_bounds(self) -> None:
        said, body, addressee = self._said, self._body, self._addressee
        if len(said.stop) > STOPS_MAX:
            raise Inexpressible(f"The provider of this model takes at most {STOPS_MAX} stop sequences.", param="stop")
        if said.stop:
            body["stop"] = said.stop
        if said.choices != 1:
            body["n"] = said.choices
        tokens = said.output_tokens_max
        if tokens is None:
            return
        if addressee.output_tokens_max is not None and tokens > addressee.output_tokens_max:
            tokens = addressee.output_tokens_max
            self._adjusted.append(f"output_tokens_max={tokens}")
        body[addressee.output_member] = tokens

    def _write_reasoning(self) -> None:
        reasoning = self._said.reasoning
        if reasoning is None:
            return
        effort, budget = reasoning.effort, reasoning.budget_tokens
        if budget is not None:
            effort = effort or effort_of(budget)
            self._adjusted.append(f"reasoning={effort}")
        if reasoning.is_shown is self._addressee.is_official:  # OpenAI never shows it, others show what there is
            self._dropped.append("reasoning_shown")
        if effort is None:
            self._dropped += ["reasoning"] * reasoning.is_adaptive
            return
        if self._addressee.capabilities.reasoning is not False:
            self._body["reasoning_effort"] = effort
        elif effort != "none":
            self._dropped.append("reasoning")

    def _write_rest(self) -> None:
        said, body, is_official = self._said, self._body, self._addressee.is_official
        if said.user:
            body["user"] = said.user
        if said.service_tier:
            if is_official and said.service_tier in _TIERS:
                body["service_tier"] = said.service_tier
            else:
                self._dropped.append("service_tier")
        for name, value in said.extra.items():
            path = _RENAMED.get(name, name)
            if is_official and path in _SHARED:
                body[path] = value
            else:
                self._dropped.append(name)


def _is_one(choice: ToolChoice) -> bool:
    return choice.mode == "required" and len(choice.names) == 1


def _choice(choice: ToolChoice) -> object:
    if not choice.names or choice.mode == "none":
        return choice.mode
    named = [{"type": "function", "function": {"name": name}} for name in choice.names]
    if _is_one(choice):
        return named[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}


def _format(wanted: OutputFormat) -> object:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: Written = {"name": wanted.name or "answer", "schema": wanted.schema}  # a name must be there
    if wanted.description:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
