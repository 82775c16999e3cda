"""Usage: what a call consumed, in disjoint counters, so that price times counter never counts twice."""

import enum

import msgspec


class UsageSource(enum.StrEnum):
    """Where the counters came from."""

    PROVIDER = "provider"  # the provider's own final figures
    EARLY = "early"  # the provider's figures from before the end (the stream was cut)
    COUNTED = "counted"  # the gateway counted, because the provider was silent
    NONE = "none"  # nothing was delivered


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was used, by class; no unit is in two of them. `input` is fresh text input alone, `cache_write` what was
    written for five minutes; `output` is all text output less `reasoning`.

    The prompt as the provider states it is the sum of the input classes; the completion that of the output classes
    (money.md section 1). The counters from `images` on are pieces, but for `milliseconds` of sound or film.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    images: int = 0
    milliseconds: int = 0
    characters: int = 0
    pages: int = 0
    searches: int = 0
    requests: int = 0
    source: UsageSource = UsageSource.NONE
    suspect: bool = False

    @property
    def prompt(self) -> int:
        """All input tokens."""
        return (
            self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input + self.image_input
        )

    @property
    def completion(self) -> int:
        """All output tokens."""
        return self.output + self.reasoning + self.audio_output + self.image_output

    def add(self, other: "Usage") -> "Usage":
        """The sum of two usages; the source of the later one stands."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in COUNTERS}
        return Usage(**sums, source=other.source, suspect=self.suspect or other.suspect)


COUNTERS = tuple(name for name in Usage.__struct_fields__ if name not in ("source", "suspect"))
NO_USAGE = Usage()
