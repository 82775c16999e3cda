"""What calls of a model usually take: learnt from their records, for quotes, limits and second attempts."""

from collections.abc import Iterable

import msgspec

from ..core.call import UsageRecord
from ..core.chat import ChatRequest
from ..core.usage import UsageSource

_WEIGHT = 0.02  # of a new record against all before it
_PER_IMAGE_TOKENS = 1_000
# Of a shorter body much is no prompt; what it says of tokens by byte would let too much through a cap on context
_LONG_BYTES = 4_096
_TEXT_TOKENS_PER_BYTE = 0.2, 0.5  # prose and code, whatever the script and the tokenizer


class _Habit(msgspec.Struct):
    """Averages of one model, of its long or its short bodies: tokens of prompt for each byte, tokens of output and
    seconds to the first byte for each call."""

    tokens_per_byte: float = 0.25
    output_tokens: float = 400.0
    first_byte_s: float = 0.0


_USUAL = _Habit()


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
                if record.stream and record.first_byte_ms is not None:
                    habit.first_byte_s += _WEIGHT * (record.first_byte_ms / 1000 - habit.first_byte_s)

    def first_byte_s(self, model_id: str, request: ChatRequest) -> float:
        """How long a stream of a model usually takes to begin; 0 where none was seen."""
        return self._habits.get((model_id, request.text_bytes >= _LONG_BYTES), _USUAL).first_byte_s

    def tokens(self, model_id: str, request: ChatRequest) -> tuple[int, int]:
        """The input and output tokens that a call is likely to take."""
        habit = self._habits.get((model_id, request.text_bytes >= _LONG_BYTES), _USUAL)
        prompt = round(request.text_bytes * habit.tokens_per_byte) + _PER_IMAGE_TOKENS * request.images
        output = round(habit.output_tokens)
        most = request.output_tokens_cap or request.output_tokens_max  # the former is never more
        if most is not None and most < output:
            output = most
        return prompt, output * request.choices

    def input_tokens(self, model_id: str, request: ChatRequest) -> int:
        """The input tokens that a call has, as far as its text says: others' calls move that within bounds only, so
        that nobody passes a cap, or is refused by it, for what they did."""
        least, most = _TEXT_TOKENS_PER_BYTE
        per_byte = self._habits.get((model_id, request.text_bytes >= _LONG_BYTES), _USUAL).tokens_per_byte
        if not least <= per_byte <= most:
            per_byte = least if per_byte < least else most
        return round(request.text_bytes * per_byte) + _PER_IMAGE_TOKENS * request.images
