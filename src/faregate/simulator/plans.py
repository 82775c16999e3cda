"""Which plan a request has, and whether its faults are meant for it."""

import hashlib
import re
from collections import OrderedDict
from dataclasses import replace

import msgspec

from .faults import OF_WHOLE_ANSWERS, Plan
from .refused import Refused
from .wires import Asked, Wire

REPEATED_MAX = 10_000

_MARK = "#simulator "
_SPOKEN = re.compile(_MARK + r"(\{.*\})\s*\Z", re.DOTALL)
_NOTHING = Plan()


def planned(asked: Asked) -> Asked:
    """`asked` with the plan that its last user message, or the last of its prompts, ends with, `#simulator {...}`,
    where its body has none. Such a plan comes through whatever translates the request. Refused where it is no plan."""
    question = asked.question
    if question.plan != _NOTHING:
        return asked
    said = [turn.text for turn in question.turns if turn.role == "user"]
    said += [prompt for prompt in question.prompts if isinstance(prompt, str)]
    words = said[-1] if said else ""
    found = _SPOKEN.search(words) if _MARK in words else None
    if found is None:
        return asked
    try:
        plan = msgspec.json.decode(found.group(1), type=Plan)
    except msgspec.DecodeError as error:
        raise Refused(f"The plan in the last message is none: {error}", param="simulator") from None
    return replace(asked, question=replace(question, plan=plan))


def check(asked: Asked, wire: Wire) -> None:
    """Refused where the plan has a fault that this answer has no place for."""
    plan = asked.question.plan
    malformed, stream = plan.malformed, asked.question.stream
    param = "simulator.malformed"
    if malformed is not None and not stream and malformed not in OF_WHOLE_ANSWERS:
        raise Refused(f"'{malformed}' needs a stream.", param=param, code="invalid_value")
    if malformed is not None and stream and malformed in asked.framing.without:
        raise Refused(f"'{malformed}' has no place in this stream.", param=param, code="invalid_value")
    if malformed in wire.without:
        raise Refused(f"'{malformed}' has no place on this wire.", param=param, code="invalid_value")
    if plan.usage in wire.without:
        raise Refused(f"'{plan.usage}' has no place on this wire.", param="simulator.usage", code="invalid_value")


class Plans:
    """Decides which requests have the faults that their plans ask for."""

    def __init__(self) -> None:
        self._repeated: OrderedDict[bytes, int] = OrderedDict()

    def applied(self, asked: Asked, data: bytes) -> Asked:
        """`asked`, without the faults of its plan where they are meant for others."""
        plan = asked.question.plan
        return asked if self._is_meant(plan, asked.question.model, data) else _without_faults(asked)

    def _is_meant(self, plan: Plan, model: str, data: bytes) -> bool:
        if plan.when_model is not None and plan.when_model != model:
            return False
        if plan.times is None:
            return True
        key = hashlib.blake2b(data, digest_size=16).digest()
        seen = self._repeated[key] = self._repeated.pop(key, 0) + 1
        if len(self._repeated) > REPEATED_MAX:
            self._repeated.popitem(last=False)
        return seen <= plan.times


def _without_faults(asked: Asked) -> Asked:
    question = asked.question
    return replace(asked, question=replace(question, plan=question.plan.without_faults()))
