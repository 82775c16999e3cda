"""What calls of a model usually take: learnt from their records, for quotes."""

from collections.abc import Iterable

import msgspec

from ..core.call import UsageRecord
from ..core.chat import ChatRequest
from ..core.usage import UsageSource

_WEIGHT = 0.02  # of a new record against all before it
_PER_IMAGE_TOKENS = 1_000
# Of a shorter body much is no prompt; what it says of tokens by byte would let too much through a cap on context
_LONG_BYTES = 4_096


class _Habit(msgspec.Struct):
    """Averages of one model, of its long or its short bodies: tokens of prompt for each byte, and tokens of output for
    each call."""

    tokens_per_byte: float = 0.25
    output_tokens: float = 400.0


class Expectations:
    """Averages by model, of long bodies and of short ones. `observe` is called by the journal's thread."""

    def __init__(self) -> None:
        self._habits: dict[tuple[str, bool], _Habit] = {}

    def observe(self, records: Iterable[UsageRecord]) -> None:
        """Learn from what providers said of finished calls."""
        for record in records:
            usage = record.usage
            if usage.source is UsageSource.PROVIDER and record.bytes_in and not usage.image_input:
                habit = self._habits.setdefault((record.model, record.bytes_in >= _LONG_BYTES), _Habit())
                habit.tokens_per_byte += _WEIGHT * (usage.prompt / record.bytes_in - habit.tokens_per_byte)
                habit.output_tokens += _WEIGHT * (usage.completion - habit.output_tokens)

    def tokens(self, model_id: str, request: ChatRequest) -> tuple[int, int]:
        """The input and output tokens that a call is likely to take."""
        habit = self._habits.get((model_id, request.text_bytes >= _LONG_BYTES), _Habit())
        prompt = round(request.text_bytes * habit.tokens_per_byte) + _PER_IMAGE_TOKENS * request.images
        output = round(habit.output_tokens) * request.choices
        most = request.output_tokens_max
        return prompt, output if most is None else min(output, most * request.choices)
