"""What a call used: the provider's figures, or the gateway's own count where there are none."""

from collections.abc import Callable

import msgspec

from ..core.chat import BYTES_PER_TOKEN, ChatRequest
from ..core.usage import NO_USAGE, Usage, UsageSource
from ..dialects import Observed

_TOKENS_PER_IMAGE_MAX = 100_000
_UNSEEN_TOKENS_MAX = 200_000  # of what a provider adds to a prompt, or to an answer beyond its bound


def usage_of_stream(request: ChatRequest, observed: Observed) -> Usage:
    """The usage of a stream as far as it came.

    The provider's own figures stand where it gave them, even before the end (`early`), when it may not have said yet
    how much of the answer there is: what was delivered is counted then. Where content was delivered without figures, or
    with figures that cannot be true, it is counted by its events.
    """
    usage = observed.usage
    if usage is not None and _may_be_true(request, usage):
        if not observed.finished:
            unsaid = max(0, observed.deltas - request.choices - usage.completion)  # an end counts as an event
            return msgspec.structs.replace(usage, output=usage.output + unsaid, source=UsageSource.EARLY)
        if usage.completion or observed.deltas <= request.choices:
            return usage
    if not observed.has_content:
        return NO_USAGE
    return Usage(
        input=request.prompt_tokens,
        output=observed.deltas,
        source=UsageSource.COUNTED,
        suspect=usage is not None,
    )


def usage_of_result(request: ChatRequest, usage: Usage | None, answer_bytes: int) -> Usage:
    """The usage of a whole answer; counted from its size where the provider is silent or cannot be right."""
    if usage is not None and _may_be_true(request, usage):
        return usage
    return Usage(
        input=request.prompt_tokens,
        output=0 if request.output_tokens_max == 0 else max(1, answer_bytes // BYTES_PER_TOKEN),
        source=UsageSource.COUNTED,
        suspect=usage is not None,
    )


def _may_be_true(request: ChatRequest, usage: Usage) -> bool:
    """Whether figures can be believed: there is no prompt of nothing, though hosts say so that count nothing; nor one
    with many more tokens than bytes, where all of it is known; nor an answer far beyond its bound."""
    prompt = usage.prompt
    if usage.suspect or prompt <= 0:
        return False
    if usage.completion > request.choices * (request.output_tokens_bound + _UNSEEN_TOKENS_MAX):
        return False
    if prompt <= request.text_bytes + _UNSEEN_TOKENS_MAX or request.is_open:
        return True
    return prompt <= (
        request.text_bytes + request.media_bytes + _TOKENS_PER_IMAGE_MAX * request.images + _UNSEEN_TOKENS_MAX
    )


class Delivered:
    """What a stream has cost as far as it has left this process.

    A checkpoint must not count what waits in our buffer for a slow client: it would be lost with us (money.md K3).
    """

    __slots__ = ("_bytes", "_cost_nano", "_given_nano", "_progress", "_sampled_nano")

    def __init__(self, given_nano: Callable[[], int], progress: Callable[[], tuple[int, int]]) -> None:
        self._given_nano = given_nano
        self._progress = progress
        self._bytes = 0  # given when the last sample was taken
        self._sampled_nano = 0  # what they cost
        self._cost_nano = 0

    def cost_nano(self) -> int:
        """The cost of what has left; a sample is taken each time the one before it has."""
        given_bytes, left_bytes = self._progress()
        if left_bytes >= self._bytes:
            self._cost_nano = self._sampled_nano
            self._bytes, self._sampled_nano = given_bytes, self._given_nano()
            if left_bytes >= given_bytes:
                self._cost_nano = self._sampled_nano
        return self._cost_nano
