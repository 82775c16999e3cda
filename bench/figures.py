"""One measured figure with all its samples, and the bars that figures are held against."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

KB = 1024


@dataclass
class Figure:
    """What was measured of which system, in which unit; the value is the median of the samples."""

    section: str
    what: str
    system: str
    unit: str
    samples: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        """The figure with its spread."""
        spread = {"value": self.value, "min": min(self.samples), "max": max(self.samples)}
        return asdict(self) | spread


@dataclass(frozen=True)
class Bar:
    """A bound on a figure of one system: required, and aimed at."""

    system: str
    section: str
    what: str
    required: float
    aim: float | None
    at_least: bool

    def verdict(self, value: float) -> str:
        """How the value stands to the bar."""
        if self._meets(value, self.aim if self.aim is not None else self.required):
            return "met" if self.aim is None else "aim met"
        return "met, short of the aim" if self._meets(value, self.required) else "NOT MET"

    def _meets(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


REQUESTS_RATIO = "processor time per request, nginx's over ours"
CHUNKS_RATIO = "processor time per chunk, ours over nginx's"
TRANSLATED_RATIO = "processor time per chunk, translated over same dialect"
HOLD_AND_SETTLE = "processor time to hold for a call and settle it"
COUNT_A_CALL = "processor time to count a call on every limit and let it go"
ADDED_P99 = "added p99 at half of saturation, of what is allowed"
OPEN_STREAM = "private memory per open stream"
READY = "to ready"

# The gateway as it is installed: every call held for, settled on the disk and recorded. And the same where every price
# is nothing: nothing is held then, which leaves the relay.
OURS, UNCHARGED, NGINX = "faregate", "faregate, no charge", "nginx"

# The ways through the gateway where the client speaks another dialect than the provider, and that where both speak
# OpenAI's, which they are held against.
SAME_DIALECT = "OpenAI client, OpenAI provider"
TRANSLATIONS = (
    "OpenAI client, Anthropic provider",
    "OpenAI client, Gemini provider",
    "Anthropic client, OpenAI provider",
)

BARS = [
    Bar(OURS, "requests", REQUESTS_RATIO, 0.20, 0.28, at_least=True),
    Bar(UNCHARGED, "requests", REQUESTS_RATIO, 0.33, 0.45, at_least=True),
    Bar(OURS, "chunks, half busy", CHUNKS_RATIO, 1.7, 1.5, at_least=False),
    Bar(UNCHARGED, "chunks, half busy", CHUNKS_RATIO, 1.6, 1.35, at_least=False),
    Bar(OURS, "holds, 64 at once", HOLD_AND_SETTLE, 25.0, 12.0, at_least=False),
    Bar(OURS, "limits", COUNT_A_CALL, 4.0, None, at_least=False),
    Bar(OURS, "latency, plain, 1 KB", ADDED_P99, 1.0, None, at_least=False),
    Bar(OURS, "latency, streamed, 1 KB", ADDED_P99, 1.0, None, at_least=False),
    Bar(OURS, "memory", OPEN_STREAM, 16.0, 8.0, at_least=False),
    Bar(OURS, "start-up", READY, 0.7, None, at_least=False),
]

BARS += [Bar(name, "translation", TRANSLATED_RATIO, 2.5, None, at_least=False) for name in TRANSLATIONS]


class Figures:
    """The figures of a run, in the order they were taken."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Figure] = {}

    def add(self, section: str, what: str, system: str, unit: str, value: float) -> None:
        """Add one sample."""
        key = (section, what, system)
        figure = self.rows.setdefault(key, Figure(section, what, system, unit))
        figure.samples.append(value)

    def find(self, section: str, what: str, system: str) -> Figure | None:
        """One figure, if it was taken."""
        return self.rows.get((section, what, system))
