"""A Conversation as the body for an upstream (docs.cohere.com, API reference, Chat)."""

import msgspec

from ...core.conversation import Conversation, Foreign, Function, Reasoning, Text
from ...core.errors import Inexpressible
from .. import Addressee, Rendered
from ..efforts import BUDGETS
from ..formats import JSON_WANTED, schema_wanted
from .render_messages import MessagesWriter
from .schemas import narrowed
from .vocabulary import Written

STOPS_MAX = 5
_TEMPERATURE_MAX = 1.0  # "temperature must be between 0 and 1.0 inclusive": Errors
_P_MIN, _P_MAX = 0.01, 0.99
_K_MAX = 500
_PENALTY_MAX = 1.0
_HIDDEN = Reasoning(is_shown=False)
# More than these is as much as the model likes, which is what Cohere recommends (docs, Reasoning).
_BOUNDED = frozenset({"minimal", "low", "medium"})
_CHOICES = {"required": "REQUIRED", "none": "NONE"}
# What only this dialect's own providers know, as they know it.
_OWN = frozenset({"citation_options", "documents", "priority", "safety_mode"})
_NOTHING = (b"null", b"{}")


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
        if said.choices != 1:
            raise Inexpressible("The provider of this model gives one answer at a time.", param="choices")
        messages = MessagesWriter(self._addressee)
        body["model"] = self._addressee.model
        tools = self._tools()
        instructions = self._write_format(has_tools=bool(tools))
        body["messages"] = messages.write(said.messages, instructions)
        self._write_tools(tools)
        self._write_bounds()
        self._write_sampling()
        self._write_penalties()
        if said.reasoning is not None:
            self._write_reasoning(said.reasoning)
        self._write_rest()
        dropped = dict.fromkeys([*self._dropped, *messages.dropped])
        return Rendered(msgspec.json.encode(body), tuple(dropped), tuple(self._adjusted))

    # Tools

    def _tools(self) -> list[Function]:
        """The tools that the model is shown: those that it may call, all of them where it may call none."""
        choice = self._said.tool_choice
        found: list[Function] = []
        for tool in self._said.tools:
            if isinstance(tool, Foreign):
                raise Inexpressible(
                    f"The provider of this model has no tool '{tool.name}'.", param=tool.path or "tools"
                )
            if choice is None or choice.mode == "none" or not choice.names or tool.name in choice.names:
                found.append(tool)
        return found

    def _write_tools(self, tools: list[Function]) -> None:
        """There is no choice of one tool: it is the only one that is shown, and one must be called."""
        choice = self._said.tool_choice
        if self._said.parallel_tool_calls is False:
            self._dropped.append("parallel_tool_calls")
        if not tools:
            if choice is not None and choice.mode == "required":
                self._dropped.append("tool_choice")
            return
        schemas = self._strict_schemas(tools)
        self._body["tools"] = [self._tool(tool, schemas.get(tool.name)) for tool in tools]
        if schemas:
            self._body["strict_tools"] = True
        if choice is not None and choice.mode in _CHOICES:
            self._body["tool_choice"] = _CHOICES[choice.mode]

    def _strict_schemas(self, tools: list[Function]) -> dict[str, object]:
        """The parameters of all tools as they can be kept to; empty where one of them is not to be, or cannot be: all
        are kept to, or none."""
        if not any(tool.strict for tool in tools):
            return {}
        found: dict[str, object] = {}
        for tool in tools:
            schema = None if tool.parameters is None else narrowed(tool.parameters)
            if not tool.strict or schema is None or schema.lost:
                self._dropped.append("strict")
                return {}
            found[tool.name] = schema.schema
        return found

    def _tool(self, tool: Function, schema: object) -> Written:
        if tool.cache:
            self._dropped.append("cache_control")
        function: Written = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        function["parameters"] = schema or tool.parameters or {"type": "object", "properties": {}}
        return {"type": "function", "function": function}

    # Words and bounds

    def _write_format(self, *, has_tools: bool) -> list[str]:
        """The form of the answer, and what the model must be told of it in words: it is no form beside tools, cannot be
        held to every schema, and may never end where nothing has told it to write JSON."""
        wanted = self._said.output_format
        if wanted is None:
            return []
        if wanted.description:
            self._dropped.append("output_description")
        schema = None if wanted.schema is None else narrowed(wanted.schema)
        words = [] if wanted.schema is None else [schema_wanted(bytes(wanted.schema))]
        if has_tools:
            return words or [JSON_WANTED]
        format_: Written = {"type": "json_object"}
        if schema is not None:
            format_["json_schema"] = schema.schema
            self._adjusted += [f"output_format=without {keyword}" for keyword in schema.lost]
            words = []
        elif words and not _is_of_object(wanted.schema):
            return words  # an object is all that the form allows
        self._body["response_format"] = format_
        return words or ([] if self._mentions_json() else [JSON_WANTED])

    def _mentions_json(self) -> bool:
        texts = (part.text for message in self._said.messages for part in message.parts if isinstance(part, Text))
        return any("json" in text.lower() for text in texts)

    def _write_bounds(self) -> None:
        said, body, most = self._said, self._body, self._addressee.output_tokens_max
        if len(said.stop) > STOPS_MAX:
            raise Inexpressible(f"The provider of this model takes at most {STOPS_MAX} stop sequences.", param="stop")
        if said.stop:
            body["stop_sequences"] = said.stop
        tokens = said.output_tokens_max
        if tokens is None:
            return
        if most is not None and tokens > most:
            tokens = most
            self._adjusted.append(f"output_tokens_max={tokens}")
        body["max_tokens"] = tokens

    def _write_sampling(self) -> None:
        sampling, body = self._said.sampling, self._body
        if self._addressee.capabilities.sampling is False:
            names = ("temperature", "top_p", "top_k")
            self._dropped += [name for name in names if getattr(sampling, name) is not None]
        else:
            self._say("temperature", "temperature", sampling.temperature, 0.0, _TEMPERATURE_MAX)
            self._say("top_p", "p", sampling.top_p, _P_MIN, _P_MAX)
            self._say("top_k", "k", sampling.top_k, 0, _K_MAX)
        if sampling.seed is not None and sampling.seed >= 0:
            body["seed"] = sampling.seed
        elif sampling.seed is not None:
            self._dropped.append("seed")
        if sampling.logprobs:
            body["logprobs"] = True
        if sampling.top_logprobs:
            self._dropped.append("top_logprobs")
        if sampling.logit_bias is not None and bytes(sampling.logit_bias) not in _NOTHING:
            self._dropped.append("logit_bias")

    def _say(self, field: str, name: str, value: float | None, least: float, most: float) -> None:
        if value is None:
            return
        said = min(max(value, least), most)
        if said != value:
            self._adjusted.append(f"{field}={said}")
        self._body[name] = said

    def _write_penalties(self) -> None:
        """One of them at a time, and none below nothing ("cannot specify both": Errors)."""
        for name in ("frequency_penalty", "presence_penalty"):
            value = getattr(self._said.sampling, name)
            if not value:
                continue
            if value < 0 or "frequency_penalty" in self._body:
                self._dropped.append(name)
            else:
                self._say(name, name, value, 0.0, _PENALTY_MAX)

    def _write_reasoning(self, reasoning: Reasoning) -> None:
        if self._addressee.capabilities.reasoning is False:
            if reasoning.effort != "none" and reasoning != _HIDDEN:
                self._dropped.append("reasoning")
            return
        if reasoning.effort == "none" or reasoning.budget_tokens == 0:
            self._body["thinking"] = {"type": "disabled"}
            return
        if reasoning.is_shown is False:  # what it thinks it shows
            self._dropped.append("reasoning_shown")
        if reasoning == _HIDDEN:
            return
        thinking: Written = {"type": "enabled"}
        budget = reasoning.budget_tokens or (BUDGETS[reasoning.effort] if reasoning.effort in _BOUNDED else None)
        if budget is not None and budget > 0:
            thinking["token_budget"] = budget
        if reasoning.budget_tokens is not None and reasoning.effort is not None:
            self._adjusted.append(f"reasoning={budget}")
        self._body["thinking"] = thinking

    def _write_rest(self) -> None:
        said, body = self._said, self._body
        self._dropped += [name for name in ("user", "service_tier") if getattr(said, name)]
        for name, value in said.extra.items():
            if name in _OWN:
                body[name] = value
            else:
                self._dropped.append(name)
        if said.stream:
            body["stream"] = True


def _is_of_object(schema: msgspec.Raw | None) -> bool:
    """Whether what a schema allows is an object at all events."""
    if schema is None:
        return True
    decoded = msgspec.json.decode(schema)
    return isinstance(decoded, dict) and decoded.get("type") == "object"
