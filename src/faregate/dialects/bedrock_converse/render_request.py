"""A Conversation as the body for an upstream (API reference, Converse, Request Syntax)."""

import re

import msgspec

from ...core.conversation import Conversation, Foreign, Function
from ...core.errors import Inexpressible
from .. import Addressee, Rendered
from ..formats import ANSWER_TOOL, ANSWER_TOOL_IS, JSON_WANTED, may_answer_by_tool, schema_wanted
from ..schemas import check_references, closed, object_schema
from ..turns import has_unproven_calls
from .blocks import SIGNED_BY, Written
from .families import family_of
from .render_messages import MessagesWriter
from .thinking import Thought

STOPS_MAX = 2_500
_UNSAID = ("seed", "presence_penalty", "frequency_penalty", "logit_bias")
_TIERS = {"default": "default", "standard_only": "default", "flex": "flex", "priority": "priority"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# Converse's own members that a client of any dialect may set as it knows them.
_OWN = frozenset({"guardrailConfig", "performanceConfig", "requestMetadata"})
_GONE_TOOL: Written = {"inputSchema": {"json": {"type": "object"}}, "description": "No longer available."}


def render_request(conversation: Conversation, addressee: Addressee) -> Rendered:
    """The body for an upstream. Inexpressible for what it cannot be told and must not be left out."""
    return _Writer(conversation, addressee).write()


class _Writer:
    """Writes one body. `_fields` are for the model itself, `_output` is the form of what it says."""

    def __init__(self, conversation: Conversation, addressee: Addressee) -> None:
        self._said = conversation
        self._addressee = addressee
        self._capabilities = addressee.capabilities
        self._family = family_of(addressee.model, addressee.capabilities)
        self._body: Written = {}
        self._inference: Written = {}
        self._fields: Written = {}
        self._output: Written = {}
        self._messages = MessagesWriter(addressee, self._family)
        self._dropped = self._messages.dropped
        self._adjusted = self._messages.adjusted

    def write(self) -> Rendered:
        said, body = self._said, self._body
        if said.choices != 1:
            raise Inexpressible("The provider of this model gives one answer at a time.", param="choices")
        if said.sampling.logprobs or said.sampling.top_logprobs:
            raise Inexpressible("The provider of this model does not tell probabilities.", param="logprobs")
        tools = self._tools()
        system, body["messages"] = self._messages.write(said.messages)
        self._write_format(system)
        if system:
            body["system"] = system
        self._write_tools(tools)
        self._write_bounds()
        thinks = self._write_thinking()
        self._write_sampling(thinks)
        self._write_rest()
        return Rendered(
            msgspec.json.encode(body), tuple(dict.fromkeys(self._dropped)), tuple(dict.fromkeys(self._adjusted))
        )

    # Tools

    def _tools(self) -> list[Written]:
        said = self._said
        tools, choice = said.tools, said.tool_choice
        if choice is not None and choice.names and choice.mode != "none" and not self._names_one():
            tools = tuple(tool for tool in tools if isinstance(tool, Foreign) or tool.name in choice.names)
        return [written for tool in tools for written in self._tool(tool)]

    def _names_one(self) -> bool:
        choice = self._said.tool_choice
        return choice is not None and choice.mode == "required" and len(choice.names) == 1

    def _tool(self, tool: Function | Foreign) -> list[Written]:
        if isinstance(tool, Foreign):
            raise Inexpressible(f"The provider of this model has no tool '{tool.name}'.", param=tool.path or "tools")
        written: Written = {"name": tool.name}
        if tool.description:
            written["description"] = tool.description
        written["inputSchema"] = {"json": object_schema(tool.parameters)}
        if tool.strict is not None and self._capabilities.structured_outputs:
            written["strict"] = tool.strict
        elif tool.strict:
            self._dropped.append("strict")
        return [{"toolSpec": written}, *self._messages.mark(tool.cache, is_of_tools=True)]

    def _write_tools(self, tools: list[Written]) -> None:
        """Tools may not be forbidden, only left out; but where one was called there must be some."""
        said, called = self._said, self._messages.called
        choice, is_single = said.tool_choice, said.parallel_tool_calls is False
        if choice is not None and choice.mode == "none" and not called:
            return
        if not tools and called:
            tools = [{"toolSpec": {"name": name, **_GONE_TOOL}} for name in called]
        if not tools:
            self._dropped += ["tool_choice"] if choice is not None and choice.mode == "required" else []
            self._dropped += ["parallel_tool_calls"] if is_single else []
            return
        config: Written = {"tools": tools}
        self._body["toolConfig"] = config
        if choice is not None and choice.mode == "none":
            self._dropped.append("tool_choice")
        elif choice is not None and choice.mode == "required":
            config["toolChoice"] = {"tool": {"name": choice.names[0]}} if self._names_one() else {"any": {}}
        elif is_single and self._family.one_call:
            self._fields["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
            return
        elif choice is not None:
            config["toolChoice"] = {"auto": {}}
        if is_single:
            self._dropped.append("parallel_tool_calls")

    # Words and bounds

    def _write_format(self, system: list[Written]) -> None:
        wanted = self._said.output_format
        if wanted is None:
            return
        if wanted.description and not self._keeps_schemas():
            self._dropped.append("output_description")
        if wanted.schema is None:
            system.append({"text": JSON_WANTED})
        elif self._keeps_schemas():
            check_references(wanted.schema, "output_format")
            schema = msgspec.json.encode(closed(msgspec.json.decode(wanted.schema))).decode()
            described: Written = {"description": wanted.description} if wanted.description else {}
            named: Written = {"name": wanted.name} if _NAME.match(wanted.name) else {}
            structure = {"jsonSchema": {"schema": schema, **named, **described}}
            self._output["textFormat"] = {"type": "json_schema", "structure": structure}
        elif self._may_use_answer_tool():
            spec = {"name": ANSWER_TOOL, "description": ANSWER_TOOL_IS}
            tool = {"toolSpec": {**spec, "inputSchema": {"json": object_schema(wanted.schema)}}}
            self._body["toolConfig"] = {"tools": [tool], "toolChoice": {"tool": {"name": ANSWER_TOOL}}}
        else:
            system.append({"text": schema_wanted(bytes(wanted.schema))})

    def _keeps_schemas(self) -> bool:
        said = self._capabilities.structured_outputs
        return self._family.keeps_schemas if said is None else said

    def _may_use_answer_tool(self) -> bool:
        """Not where it has called tools; and not every family can be made to call one."""
        return self._family.states_errors and not self._messages.called and may_answer_by_tool(self._said)

    def _write_bounds(self) -> None:
        said, most = self._said, self._addressee.output_tokens_max
        tokens = said.output_tokens_max
        if tokens is not None:
            if most is not None and tokens > most:
                tokens = most
                self._adjusted.append(f"output_tokens_max={most}")
            self._inference["maxTokens"] = tokens
        stop = [sequence for sequence in said.stop if sequence.strip()]
        if len(stop) < len(said.stop):
            self._dropped.append("stop")  # models refuse those of white space
        if len(stop) > STOPS_MAX:
            raise Inexpressible(f"This model takes at most {STOPS_MAX} stop sequences.", param="stop")
        if stop:
            self._inference["stopSequences"] = stop
            if self._family.signs:  # Claude tells which it was (API reference, additionalModelResponseFieldPaths)
                self._body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]

    def _write_thinking(self) -> bool:
        """What is said of thinking; whether the model will."""
        if self._said.reasoning is None:
            return False
        config = self._body.get("toolConfig")
        choice = config.get("toolChoice") if isinstance(config, dict) else None
        thought = Thought(self._said.reasoning, self._addressee, self._family, self._inference.get("maxTokens"))
        is_free = choice in (None, {"auto": {}}) and not self._has_unproven_calls()
        told = thought.told(is_free=is_free)
        self._fields |= told.fields
        self._output |= told.output
        self._inference |= told.inference
        self._dropped += told.dropped
        self._adjusted += told.adjusted
        return told.thinks

    def _has_unproven_calls(self) -> bool:
        """Whether the newest calls have lost the thoughts that led to them: Claude then refuses to think by a
        budget."""
        thinks_by_budget = self._family.signs and self._capabilities.thinking != "adaptive"
        return thinks_by_budget and has_unproven_calls(self._said.messages, SIGNED_BY)

    def _write_sampling(self, thinks: bool) -> None:
        sampling, inference = self._said.sampling, self._inference
        self._dropped += [name for name in _UNSAID if getattr(sampling, name) is not None]
        is_taken = self._capabilities.sampling is not False and not thinks
        for field, name in (("temperature", "temperature"), ("top_p", "topP")):
            value = getattr(sampling, field)
            if value is None:
                continue
            if not is_taken or (field == "top_p" and self._family.one_sampling and "temperature" in inference):
                self._dropped.append(field)
            elif value > 1:
                inference[name] = 1.0
                self._adjusted.append(f"{field}=1.0")
            else:
                inference[name] = value
        if sampling.top_k is not None:
            if is_taken and self._family.top_k:
                _put(self._fields, self._family.top_k, sampling.top_k)
            else:
                self._dropped.append("top_k")

    def _write_rest(self) -> None:
        said, body = self._said, self._body
        tier = _TIERS.get(said.service_tier)
        if tier is not None:
            body["serviceTier"] = {"type": tier}
        elif said.service_tier not in ("", "auto"):
            self._dropped.append("service_tier")
        if said.user:
            self._dropped.append("user")
        for path, raw in said.extra.items():
            if path in _OWN:
                body[path] = raw
            else:
                self._dropped.append(path)
        for name, members in (
            ("inferenceConfig", self._inference),
            ("additionalModelRequestFields", self._fields),
            ("outputConfig", self._output),
        ):
            if members:
                body[name] = members


def _put(fields: Written, path: tuple[str, ...], value: object) -> None:
    """Set the member at a path."""
    *way, last = path
    for name in way:
        inner = fields.setdefault(name, {})
        assert isinstance(inner, dict)
        fields = inner
    fields[last] = value
