"""Efforts and budgets of thinking, each as the other, for models that are told the one and clients that say the other
(conformance.md 2.1)."""

from collections.abc import Mapping

from ..core.conversation import Effort

BUDGETS: Mapping[Effort, int] = {  # tokens
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 24_576,
}
_LARGEST: tuple[tuple[int, Effort], ...] = ((2_048, "low"), (16_384, "medium"))  # budget that is still this effort


def effort_of(budget_tokens: int) -> Effort:
    """The effort that a budget of so many tokens stands for."""
    for most, effort in _LARGEST:
        if budget_tokens <= most:
            return effort
    return "high"
