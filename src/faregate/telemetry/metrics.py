"""Counters and histograms, in Prometheus' text format (exposition format 0.0.4). Never labelled by key.

Written by hand: the client library costs 0.14 s of start-up and several microseconds an observation; the format is a
line a figure. Observed in batches, by the journal's thread.
"""

import bisect
from collections.abc import Iterable
from typing import Literal

import msgspec

from ..core.call import UsageRecord
from ..core.usage import NO_USAGE

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_CLASSES = ("input", "cache_read", "cache_write", "output", "reasoning", "audio_input", "audio_output")


class Family(msgspec.Struct, array_like=True):
    """Figures of one name: what they are, and the value of each series, which is the name with its labels."""

    name: str
    text: str
    kind: Literal["counter", "gauge", "histogram"]
    samples: dict[str, int | float] = {}


class _Histogram:
    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_SECONDS) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect.bisect_left(_SECONDS, seconds)] += 1
        self.total_s += seconds


class Metrics:
    """What was served since the start."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, int], int] = {}
        self._tokens: dict[tuple[str, str], list[int]] = {}  # by model and provider, of each class
        self._total: dict[str, _Histogram] = {}
        self._first_byte: dict[str, _Histogram] = {}

    def observe(self, records: list[UsageRecord]) -> None:
        """Count finished requests."""
        requests = self._requests
        totals, first_bytes = self._total, self._first_byte
        for record in records:
            route = record.operation or "other"
            label = (route, record.model or "none", record.provider or "none", record.status)
            requests[label] = requests.get(label, 0) + 1
            total = totals.get(route) or self._histogram(totals, route)
            total.observe(record.total_ms / 1000)
            if record.first_byte_ms is not None:
                first_byte = first_bytes.get(route) or self._histogram(first_bytes, route)
                first_byte.observe(record.first_byte_ms / 1000)
            usage = record.usage
            if usage is not NO_USAGE:
                tokens = self._tokens.get((record.model, record.provider))
                if tokens is None:
                    tokens = self._tokens[record.model, record.provider] = [0] * len(_CLASSES)
                tokens[0] += usage.input
                tokens[1] += usage.cache_read
                tokens[2] += usage.cache_write
                tokens[3] += usage.output
                tokens[4] += usage.reasoning
                if usage.audio_input or usage.audio_output:
                    tokens[5] += usage.audio_input
                    tokens[6] += usage.audio_output

    @staticmethod
    def _histogram(histograms: dict[str, _Histogram], route: str) -> _Histogram:
        found = histograms.get(route)
        if found is None:
            found = histograms[route] = _Histogram()
        return found

    def families(self) -> list[Family]:
        """All figures, as they are now."""
        requests = Family("faregate_requests_total", "Requests answered.", "counter")
        for (operation, model, provider, status), count in list(self._requests.items()):
            labels = labels_of(operation=operation, model=model, provider=provider, status=str(status))
            requests.samples[requests.name + labels] = count
        tokens = Family("faregate_tokens_total", "Tokens by class.", "counter")
        for (model, provider), counts in list(self._tokens.items()):
            for kind, count in zip(_CLASSES, counts, strict=True):
                if count:
                    labels = labels_of(model=model, provider=provider, **{"class": kind})
                    tokens.samples[tokens.name + labels] = count
        total = Family("faregate_request_seconds", "Time from request to the end of its answer.", "histogram")
        first_byte = Family("faregate_first_byte_seconds", "Time from request to the answer's first byte.", "histogram")
        for family, histograms in ((total, self._total), (first_byte, self._first_byte)):
            for operation, histogram in list(histograms.items()):
                _add_histogram(family, operation, histogram)
        return [requests, tokens, total, first_byte]


def exposition(families: Iterable[Family]) -> bytes:
    """Figures as Prometheus reads them."""
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        for series, value in family.samples.items():
            lines.append(f"{series} {value if isinstance(value, int) else format(value, '.6f')}")
    return ("\n".join(lines) + "\n").encode()


def _add_histogram(family: Family, operation: str, histogram: _Histogram) -> None:
    below = 0
    for bound, count in zip((*_SECONDS, float("inf")), list(histogram.buckets), strict=True):
        below += count
        bound_text = "+Inf" if bound == float("inf") else f"{bound:g}"
        family.samples[f"{family.name}_bucket{labels_of(operation=operation, le=bound_text)}"] = below
    labels = labels_of(operation=operation)
    family.samples[f"{family.name}_sum{labels}"] = histogram.total_s
    family.samples[f"{family.name}_count{labels}"] = below  # of the same moment: they are counted on another thread


def labels_of(**labels: str) -> str:
    """The labels of a series, as they stand behind its name."""
    escaped = (
        f'{name}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34)).replace(chr(10), "")}"'
        for name, value in labels.items()
    )
    return "{" + ",".join(escaped) + "}"
