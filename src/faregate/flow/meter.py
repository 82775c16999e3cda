"""What a call used: the provider's figures, or the gateway's own count where there are none."""

from ..core.chat import ChatRequest
from ..core.usage import NO_USAGE, Usage, UsageSource
from ..dialects import Observed

_BYTES_PER_TOKEN = 4


def prompt_tokens(request: ChatRequest) -> int:
    """What a prompt of this size is in tokens, roughly: a quarter of its bytes."""
    return -(-request.prompt_bytes // _BYTES_PER_TOKEN)


def usage_of_stream(request: ChatRequest, observed: Observed) -> Usage:
    """The usage of a stream as far as it came.

    The provider's own figures stand where it gave them, even before the end (`early`). Where content was delivered
    without figures, or with figures that cannot be true, the events with content are counted, one token each.
    """
    usage = observed.usage
    if usage is not None and not usage.suspect:
        if observed.finished:
            return usage
        return Usage(
            input=usage.input,
            cache_read=usage.cache_read,
            cache_write=usage.cache_write,
            output=usage.output,
            reasoning=usage.reasoning,
            source=UsageSource.EARLY,
        )
    if not observed.has_content:
        return NO_USAGE
    return Usage(
        input=prompt_tokens(request),
        output=observed.deltas,
        source=UsageSource.COUNTED,
        suspect=usage is not None,
    )


def usage_of_result(request: ChatRequest, usage: Usage | None, answer_bytes: int) -> Usage:
    """The usage of a whole answer; counted from its size where the provider is silent or cannot be right."""
    if usage is not None and not usage.suspect:
        return usage
    return Usage(
        input=prompt_tokens(request),
        output=max(1, answer_bytes // _BYTES_PER_TOKEN),
        source=UsageSource.COUNTED,
        suspect=usage is not None,
    )
