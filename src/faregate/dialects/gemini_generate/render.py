"""A Conversation as the body of a request to Gemini (conformance.md 2.1)."""

import re
from typing import Any

import msgspec

from ...core.conversation import Conversation, Effort, Foreign, Function, OutputFormat, Reasoning, ToolChoice
from ...core.errors import Inexpressible
from .. import Addressee, Rendered
from ..efforts import BUDGETS, effort_of
from ..schemas import check_references, simplified
from .body import CHOICES_MAX
from .proofs import NAME
from .turns import Turns

STOPS_MAX = 5
TOP_LOGPROBS_MAX = 20
_SEED_MAX = 2**31 - 1  # an int32
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_LEVELS: dict[Effort, str] = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high"}
# What the API leaves out of a JSON Schema, and what can be said in the Schema message in another way (API reference,
# GenerationConfig.responseJsonSchema and FunctionDeclaration.parametersJsonSchema).
_UNREAD = re.compile(rb'"(?:allOf|const|not|if|patternProperties|propertyNames|dependentSchemas|\$dynamicRef)"\s*:')
# What only this dialect's own clients say, as they say it.
_OWN = ("safetySettings", "cachedContent", "labels", "store", "serviceTier")
_OWN_STARTS = ("generationConfig.", "toolConfig.")
_NOTHING = (b"null", b"{}")


def render_request(conversation: Conversation, addressee: Addressee) -> Rendered:
    """See Dialect."""
    return _Writer(conversation, addressee).rendered()


class _Writer:
    """Writes one body."""

    def __init__(self, conversation: Conversation, addressee: Addressee) -> None:
        self._asked = conversation
        self._addressee = addressee
        self._turns = Turns(addressee)
        self.dropped: dict[str, None] = self._turns.dropped
        self.adjusted: dict[str, None] = {}
        self._config: dict[str, Any] = {}

    def rendered(self) -> Rendered:
        """The body, and what it does not say."""
        asked = self._asked
        body: dict[str, Any] = {}
        instruction = self._turns.instruction(asked.messages)
        if instruction is not None:
            body["systemInstruction"] = instruction
        body["contents"] = self._turns.contents(asked.messages)
        tools = self._tools()
        if tools:
            body["tools"] = tools
            choice = _tool_config(asked.tool_choice)
            if choice is not None:
                body["toolConfig"] = choice
        elif asked.tool_choice is not None and asked.tool_choice.mode == "required":
            self.dropped["tool_choice"] = None
        self._limits()
        self._sampling()
        if asked.output_format is not None:
            self._output_format(asked.output_format)
        if asked.reasoning is not None:
            self._reasoning(asked.reasoning)
        if self._config:
            body["generationConfig"] = self._config
        self._extra(body)
        for name, value in (("user", asked.user), ("service_tier", asked.service_tier)):
            if value:
                self.dropped[name] = None
        if asked.parallel_tool_calls is False:
            self.dropped["parallel_tool_calls"] = None
        return Rendered(msgspec.json.encode(body), tuple(self.dropped), tuple(self.adjusted))

    def _tools(self) -> list[Any]:
        """All functions in one tool, those of the provider's own beside it."""
        choice = self._asked.tool_choice
        only = choice.names if choice is not None and choice.mode == "auto" else ()
        functions: list[dict[str, Any]] = []
        own: list[dict[str, msgspec.Raw]] = []
        for index, tool in enumerate(self._asked.tools):
            if isinstance(tool, Function):
                if not only or tool.name in only:
                    functions.append(self._function(tool, f"tools[{index}]"))
            elif isinstance(tool, Foreign) and tool.dialect == NAME:
                own.append({tool.name: tool.raw})
            else:
                message = f"The provider of this model has no tool '{tool.name}'."
                raise Inexpressible(message, param=tool.path or "tools")
        return ([{"functionDeclarations": functions}] if functions else []) + own

    def _function(self, tool: Function, param: str) -> dict[str, Any]:
        declared: dict[str, Any] = {"name": tool.name}
        if tool.description:
            declared["description"] = tool.description
        if tool.strict:
            self.dropped["strict"] = None
        if tool.cache:
            self.dropped["cache_control"] = None
        if tool.parameters is not None and not _takes_nothing(tool.parameters):
            name, schema = self._schema(tool.parameters, param, ("parametersJsonSchema", "parameters"))
            declared[name] = schema
        return declared

    def _schema(self, raw: msgspec.Raw, param: str, names: tuple[str, str]) -> tuple[str, msgspec.Raw]:
        """A JSON Schema as it came, or, where it has keywords that are not read, as a Schema message that says the
        same; what that cannot say is reported."""
        check_references(raw, param)
        if _UNREAD.search(raw) is None:
            return names[0], raw
        try:
            schema, lost = simplified(raw, param)
        except Inexpressible:  # one that holds itself, say
            return names[0], raw
        self.adjusted.update({f"{param.partition('[')[0]}=without {keyword}": None for keyword in lost})
        return names[1], schema

    def _limits(self) -> None:
        asked = self._asked
        if len(asked.stop) > STOPS_MAX:
            raise Inexpressible(f"This model takes at most {STOPS_MAX} stop sequences.", param="stop")
        if asked.choices > CHOICES_MAX:
            raise Inexpressible(f"This model gives at most {CHOICES_MAX} answers.", param="choices")
        if asked.stop:
            self._config["stopSequences"] = list(asked.stop)
        if asked.choices > 1:
            self._config["candidateCount"] = asked.choices
        tokens, cap = asked.output_tokens_max, self._addressee.output_tokens_max
        if tokens is not None:
            if cap is not None and tokens > cap:
                tokens = cap
                self.adjusted[f"output_tokens_max={cap}"] = None
            self._config["maxOutputTokens"] = tokens

    def _sampling(self) -> None:
        sampling = self._asked.sampling
        is_taken = self._addressee.capabilities.sampling is not False
        for field, name in (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK")):
            self._say(field, name, getattr(sampling, field), is_taken=is_taken)
        self._say("seed", "seed", sampling.seed, is_taken=abs(sampling.seed or 0) <= _SEED_MAX)
        self._say("presence_penalty", "presencePenalty", sampling.presence_penalty)
        self._say("frequency_penalty", "frequencyPenalty", sampling.frequency_penalty)
        if sampling.logit_bias is not None and bytes(sampling.logit_bias) not in _NOTHING:
            self.dropped["logit_bias"] = None
        if sampling.logprobs:
            self._config["responseLogprobs"] = True
            if sampling.top_logprobs:
                self._config["logprobs"] = min(sampling.top_logprobs, TOP_LOGPROBS_MAX)

    def _say(self, field: str, name: str, value: float | None, *, is_taken: bool = True) -> None:
        if value is not None and is_taken:
            self._config[name] = value
        elif value is not None:
            self.dropped[field] = None

    def _output_format(self, wanted: OutputFormat) -> None:
        self._config["responseMimeType"] = "application/json"
        if wanted.description:
            self.dropped["output_description"] = None
        if wanted.schema is not None:
            name, schema = self._schema(wanted.schema, "output_format", ("responseJsonSchema", "responseSchema"))
            self._config[name] = schema

    def _reasoning(self, wanted: Reasoning) -> None:
        """A budget or a level, never both; thoughts are shown to who wants to see them, or asked for them and did not
        say."""
        thinking = self._addressee.capabilities.thinking
        said: dict[str, Any] = {}
        if thinking == "budget":
            said = self._budget(wanted)
        elif thinking == "level":
            said = self._level(wanted)
        elif wanted.effort != "none" or self._addressee.capabilities.reasoning is not False:
            if wanted != Reasoning(is_shown=wanted.is_shown):
                self.dropped["reasoning"] = None
            if wanted.is_shown:
                self.dropped["reasoning_shown"] = None
            return
        is_wanted = bool(said) and wanted.effort != "none"
        if wanted.is_shown or (wanted.is_shown is None and is_wanted):
            said["includeThoughts"] = True
        if said:
            self._config["thinkingConfig"] = said

    def _budget(self, wanted: Reasoning) -> dict[str, Any]:
        if wanted.effort is not None:
            if wanted.effort not in _LEVELS and wanted.effort != "none":
                self.adjusted["reasoning=high"] = None
            elif wanted.budget_tokens is not None:
                self.adjusted[f"reasoning={wanted.effort}"] = None
            return {"thinkingBudget": BUDGETS.get(wanted.effort, 0)}
        if wanted.budget_tokens is not None:
            return {"thinkingBudget": wanted.budget_tokens}
        return {"thinkingBudget": -1} if wanted.is_adaptive else {}

    def _level(self, wanted: Reasoning) -> dict[str, Any]:
        effort, budget = wanted.effort, wanted.budget_tokens
        if effort is None and budget is not None:
            effort = effort_of(budget)
        if effort is None:
            return {}
        if budget is not None:
            self.adjusted[f"reasoning={effort}"] = None
        level = _LEVELS.get(effort)
        if level is None:  # it cannot but think; and there is no more than high
            level = "minimal" if effort == "none" else "high"
            self.adjusted[f"reasoning={level}"] = None
        return {"thinkingLevel": level}

    def _extra(self, body: dict[str, Any]) -> None:
        for path, raw in self._asked.extra.items():
            if path in _OWN:
                body[path] = raw
            elif path.startswith(_OWN_STARTS):
                name, _, member = path.partition(".")
                body.setdefault(name, {})[member] = raw
            else:
                self.dropped[path] = None


def _tool_config(choice: ToolChoice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    calling: dict[str, Any] = {"mode": _MODES[choice.mode]}
    if choice.mode == "required" and choice.names:
        calling["allowedFunctionNames"] = list(choice.names)
    return {"functionCallingConfig": calling}


def _takes_nothing(raw: msgspec.Raw) -> bool:
    """Whether a schema is of an object without members: the API has no parameters then."""
    try:
        schema = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(schema, dict) or not schema.keys() <= {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "$schema",
    }:
        return False
    return (
        not schema.get("properties")
        and not schema.get("required")
        and schema.get("additionalProperties") in (None, False)
    )
