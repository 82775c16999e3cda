"""A Conversation as the body for an upstream (platform.claude.com, Messages API; conformance 2.1)."""

import msgspec

from ...core.conversation import Conversation, Foreign, Function, Reasoning
from ...core.errors import Inexpressible
from .. import Addressee, Rendered
from ..efforts import BUDGETS, effort_of
from ..formats import ANSWER_TOOL, ANSWER_TOOL_IS, JSON_WANTED, may_answer_by_tool, schema_wanted
from ..schemas import closed, object_schema
from ..turns import has_unproven_calls
from .blocks import DIALECT, Written
from .render_messages import MessagesWriter

OUTPUT_TOKENS_DEFAULT = 4_096  # where nobody has said how much the model may put out
BUDGET_TOKENS_MIN = 1_024
_HIDDEN = Reasoning(is_shown=False)
_UNSAID = ("seed", "presence_penalty", "frequency_penalty", "logit_bias")
_TIERS = frozenset({"auto", "standard_only"})


def render_request(conversation: Conversation, addressee: Addressee) -> Rendered:
    """The body for an upstream. Inexpressible for what it cannot be told and must not be left out."""
    return _Writer(conversation, addressee).write()


class _Writer:
    """Writes one body."""

    def __init__(self, conversation: Conversation, addressee: Addressee) -> None:
        self._said = conversation
        self._addressee = addressee
        self._capabilities = addressee.capabilities
        self._body: Written = {}
        self._config: Written = {}  # output_config
        self._dropped: list[str] = []
        self._adjusted: list[str] = []
        self._messages = MessagesWriter(addressee)

    def write(self) -> Rendered:
        said, body = self._said, self._body
        if said.choices != 1:
            raise Inexpressible("The provider of this model gives one answer at a time.", param="choices")
        if said.sampling.logprobs or said.sampling.top_logprobs:
            raise Inexpressible("The provider of this model does not tell probabilities.", param="logprobs")
        body["model"] = self._addressee.model
        tools = self._tools()
        system, body["messages"] = self._messages.write(said.messages)
        self._write_format(system)
        if system:
            body["system"] = _joined(system)
        self._write_bounds()
        self._write_reasoning()
        self._write_tools(tools)
        self._write_sampling()
        self._write_rest()
        dropped = dict.fromkeys([*self._dropped, *self._messages.dropped])
        return Rendered(msgspec.json.encode(body), tuple(dropped), tuple(self._adjusted))

    # Tools

    def _tools(self) -> list[object]:
        said = self._said
        tools, choice = said.tools, said.tool_choice
        if (
            choice is not None
            and choice.names
            and choice.mode != "none"
            and not (choice.mode == "required" and len(choice.names) == 1)
        ):
            tools = tuple(tool for tool in tools if isinstance(tool, Foreign) or tool.name in choice.names)
        return [self._tool(tool) for tool in tools]

    def _tool(self, tool: Function | Foreign) -> object:
        if isinstance(tool, Foreign):
            if tool.dialect != DIALECT:
                raise Inexpressible(
                    f"The provider of this model has no tool '{tool.name}'.", param=tool.path or "tools"
                )
            return tool.raw
        written: Written = {"name": tool.name}
        if tool.description:
            written["description"] = tool.description
        written["input_schema"] = object_schema(tool.parameters)
        if tool.strict is not None:
            if self._capabilities.structured_outputs:
                written["strict"] = tool.strict
            elif tool.strict:
                self._dropped.append("strict")
        return self._messages.mark(written, tool.cache)

    def _write_tools(self, tools: list[object]) -> None:
        said, body = self._said, self._body
        choice, is_single = said.tool_choice, said.parallel_tool_calls is False
        if not tools:
            if choice is not None and choice.mode == "required":
                self._dropped.append("tool_choice")
            if is_single:
                self._dropped.append("parallel_tool_calls")
            return
        body["tools"] = tools
        written: Written | None = None
        if choice is not None and choice.mode == "required":
            named = len(choice.names) == 1
            written = {"type": "tool", "name": choice.names[0]} if named else {"type": "any"}
        elif choice is not None:
            written = {"type": choice.mode}
        if is_single and (written is None or written["type"] != "none"):
            written = written or {"type": "auto"}
            written["disable_parallel_tool_use"] = True
        if written is not None:
            body["tool_choice"] = written

    # Words and bounds

    def _write_format(self, system: list[Written]) -> None:
        wanted = self._said.output_format
        if wanted is None:
            return
        if wanted.description:
            self._dropped.append("output_description")
        if wanted.schema is None:
            system.append({"type": "text", "text": JSON_WANTED})
        elif self._capabilities.structured_outputs is not False:
            schema = closed(msgspec.json.decode(wanted.schema))
            self._config["format"] = {"type": "json_schema", "schema": schema}
        elif may_answer_by_tool(self._said):
            schema = object_schema(wanted.schema)
            tool = {"name": ANSWER_TOOL, "description": ANSWER_TOOL_IS, "input_schema": schema}
            self._body["tools"] = [tool]
            self._body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
        else:
            system.append({"type": "text", "text": schema_wanted(bytes(wanted.schema))})

    def _write_bounds(self) -> None:
        said, most = self._said, self._addressee.output_tokens_max
        tokens = said.output_tokens_max or most or OUTPUT_TOKENS_DEFAULT
        if most is not None and tokens > most:
            tokens = most
            self._adjusted.append(f"output_tokens_max={most}")
        self._body["max_tokens"] = tokens
        stop = [sequence for sequence in said.stop if sequence.strip()]
        if len(stop) < len(said.stop):
            self._dropped.append("stop")  # the Messages API refuses those of white space
        if stop:
            self._body["stop_sequences"] = stop

    def _write_sampling(self) -> None:
        sampling, body = self._said.sampling, self._body
        self._dropped += [name for name in _UNSAID if getattr(sampling, name) is not None]
        thinks = "thinking" in body and body["thinking"] != {"type": "disabled"}
        for name in ("temperature", "top_p", "top_k"):
            value = getattr(sampling, name)
            if value is None:
                continue
            if self._capabilities.sampling is False or thinks or (name == "top_p" and "temperature" in body):
                self._dropped.append(name)
            elif name == "temperature" and value > 1:
                body[name] = 1.0
                self._adjusted.append("temperature=1.0")
            else:
                body[name] = value

    def _write_rest(self) -> None:
        said, body = self._said, self._body
        if self._config:
            body["output_config"] = self._config
        if said.user:
            body["metadata"] = {"user_id": said.user}
        if said.service_tier in _TIERS:
            body["service_tier"] = said.service_tier
        elif said.service_tier:
            self._dropped.append("service_tier")
        self._dropped += said.extra
        if said.stream:
            body["stream"] = True

    # Thinking

    def _write_reasoning(self) -> None:
        reasoning = self._said.reasoning
        if reasoning is None or reasoning == _HIDDEN:  # it does not think then, so it shows nothing
            return
        if reasoning.effort == "none":
            if self._capabilities.reasoning is not False:
                self._body["thinking"] = {"type": "disabled"}
            return
        choice = self._said.tool_choice
        is_forced = choice is not None and choice.mode == "required" and bool(self._said.tools)
        if self._capabilities.reasoning is False or is_forced:
            self._dropped.append("reasoning")
        elif self._capabilities.thinking == "adaptive":
            self._write_adaptive(reasoning)
        else:
            self._write_budget(reasoning)

    def _write_adaptive(self, reasoning: Reasoning) -> None:
        thinking: Written = {"type": "adaptive"}
        if reasoning.is_shown is not None:
            thinking["display"] = "summarized" if reasoning.is_shown else "omitted"
        self._body["thinking"] = thinking
        effort: str | None = "low" if reasoning.effort == "minimal" else reasoning.effort
        budget = reasoning.budget_tokens
        if budget is not None:
            effort = effort or effort_of(budget)
            self._adjusted.append(f"reasoning={effort}")
        if effort is not None:
            self._config["effort"] = effort

    def _write_budget(self, reasoning: Reasoning) -> None:
        most = self._body["max_tokens"]
        assert isinstance(most, int)
        wanted = reasoning.budget_tokens or BUDGETS.get(reasoning.effort or "medium", BUDGET_TOKENS_MIN)
        budget = min(max(wanted, BUDGET_TOKENS_MIN), most - 1)
        if budget < BUDGET_TOKENS_MIN or has_unproven_calls(self._said.messages, DIALECT):
            self._dropped.append("reasoning")  # without those thoughts the provider refuses to think
            return
        if reasoning.budget_tokens is not None and (budget != reasoning.budget_tokens or reasoning.effort is not None):
            self._adjusted.append(f"reasoning={budget}")
        hidden = {"display": "omitted"} if reasoning.is_shown is False else {}
        self._body["thinking"] = {"type": "enabled", "budget_tokens": budget, **hidden}


def _joined(system: list[Written]) -> object:
    """One text, or blocks where one of them is marked."""
    if any("cache_control" in block for block in system):
        return system
    return "\n".join(str(block["text"]) for block in system)
