"""How the models of each family are told to think: Claude's budgets and efforts (Bedrock user guide, "Extended
thinking", "Adaptive thinking"), Nova 2's and gpt-oss's efforts (Nova 2 user guide, "Extended thinking"; Bedrock user
guide, "OpenAI models")."""

import msgspec

from ...core.conversation import Reasoning
from .. import Addressee
from ..efforts import BUDGETS, effort_of
from .blocks import Written
from .families import Family

BUDGET_TOKENS_MIN = 1_024
_ROOM_TOKENS = 4_096  # for words after a thought, where nobody has said how long the answer may be
_HIDDEN = Reasoning(is_shown=False)
_THREE = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


class Told(msgspec.Struct):
    """What is said of thinking: to the model itself, of the output, of the bounds; and whether it will think."""

    fields: Written = {}
    output: Written = {}
    inference: Written = {}
    dropped: list[str] = []
    adjusted: list[str] = []
    thinks: bool = False


class Thought:
    """What a client wants thought, for one addressee. `tokens` is what the answer may take, where it is said."""

    def __init__(self, wanted: Reasoning, addressee: Addressee, family: Family, tokens: object) -> None:
        self._wanted = wanted
        self._addressee = addressee
        self._family = family
        self._tokens = tokens if isinstance(tokens, int) else None

    def told(self, *, is_free: bool) -> Told:
        """What is said. Not `is_free`: a tool must be called, or was, which rules thinking out for Claude."""
        wanted, way = self._wanted, self._family.thinks
        capabilities = self._addressee.capabilities
        if wanted == _HIDDEN:  # it does not think then, so it shows nothing
            return Told()
        if wanted.effort == "none":
            return self._nothing()
        if not way or capabilities.reasoning is False or (way == "claude" and not is_free):
            return Told(dropped=["reasoning"])
        if way != "claude":
            return self._effort()
        return self._adaptive() if capabilities.thinking == "adaptive" else self._budget()

    def _nothing(self) -> Told:
        if self._addressee.capabilities.reasoning is False:
            return Told()
        if self._family.thinks == "claude":
            return Told(fields={"thinking": {"type": "disabled"}})
        if self._family.thinks == "nova":
            return Told(fields={"reasoningConfig": {"type": "disabled"}})
        return Told(dropped=["reasoning"])

    def _adaptive(self) -> Told:
        wanted = self._wanted
        thinking: Written = {"type": "adaptive"}
        if wanted.is_shown is not None:
            thinking["display"] = "summarized" if wanted.is_shown else "omitted"
        effort: str | None = "low" if wanted.effort == "minimal" else wanted.effort
        adjusted = []
        if wanted.budget_tokens is not None:
            effort = effort or effort_of(wanted.budget_tokens)
            adjusted.append(f"reasoning={effort}")
        output: Written = {} if effort is None else {"effort": effort}
        return Told(fields={"thinking": thinking}, output=output, adjusted=adjusted, thinks=True)

    def _budget(self) -> Told:
        wanted, most = self._wanted, self._addressee.output_tokens_max
        asked = max(wanted.budget_tokens or BUDGETS.get(wanted.effort or "medium", 0), BUDGET_TOKENS_MIN)
        tokens = self._tokens
        if tokens is None:
            tokens = asked + _ROOM_TOKENS if most is None else most
        budget = min(asked, tokens - 1)
        if budget < BUDGET_TOKENS_MIN:
            return Told(dropped=["reasoning"])
        is_other = wanted.budget_tokens is not None and (budget != wanted.budget_tokens or wanted.effort is not None)
        hidden = {"display": "omitted"} if wanted.is_shown is False else {}
        return Told(
            fields={"thinking": {"type": "enabled", "budget_tokens": budget, **hidden}},
            inference={"maxTokens": tokens},
            adjusted=[f"reasoning={budget}"] if is_other else [],
            thinks=True,
        )

    def _effort(self) -> Told:
        wanted = self._wanted
        meant = wanted.effort
        if meant is None:
            meant = "medium" if wanted.budget_tokens is None else effort_of(wanted.budget_tokens)
        effort = _THREE[meant]
        is_other = wanted.effort != effort or wanted.budget_tokens is not None
        # gpt-oss always shows what it thinks, Nova never does
        shows = self._family.thinks == "effort"
        dropped = ["reasoning_shown"] if wanted.is_shown is (not shows) else []
        if shows:
            adjusted = [f"reasoning={effort}"] if is_other else []
            return Told(fields={"reasoning_effort": effort}, dropped=dropped, adjusted=adjusted)
        if effort == "high" and self._tokens is not None:  # that takes no bound
            effort, is_other = "medium", True
        return Told(
            fields={"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}},
            dropped=dropped,
            adjusted=[f"reasoning={effort}"] if is_other else [],
            thinks=effort == "high",  # then it takes no sampling either
        )
