"""Usage: what a call consumed, in disjoint counters, so that price times counter never counts twice."""

import enum

import msgspec


class UsageSource(enum.StrEnum):
    """Where the counters came from."""

    PROVIDER = "provider"  # the provider's own final figures
    EARLY = "early"  # the provider's figures from before the end (the stream was cut)
    COUNTED = "counted"  # the gateway counted, because the provider was silent
    NONE = "none"  # nothing was delivered


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by class. `input` is fresh input alone; `output` is all output less `reasoning`.

    The prompt as the provider states it is `input + cache_read + cache_write`; the completion is
    `output + reasoning` (money.md section 1).
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    source: UsageSource = UsageSource.NONE
    suspect: bool = False

    @property
    def prompt(self) -> int:
        """All input tokens."""
        return self.input + self.cache_read + self.cache_write

    @property
    def completion(self) -> int:
        """All output tokens."""
        return self.output + self.reasoning

    def add(self, other: "Usage") -> "Usage":
        """The sum of two usages; the source of the later one stands."""
        return Usage(
            input=self.input + other.input,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
            source=other.source,
            suspect=self.suspect or other.suspect,
        )


NO_USAGE = Usage()
