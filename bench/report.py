"""The report: every figure with its spread, what the machine was, and how we stand to the bars."""

import itertools
from typing import Any

from bench.figures import BARS, Figure, Figures

HEADINGS = ("figure", "system", "median", "min", "max", "unit")
METHOD = [
    "The system measured runs on one core; the load and the upstream share the other.",
    "Processor time is user and system of all its processes, from the scheduler's own count,"
    " read at the edges of the window in which the answers are counted.",
    "Systems alternate within one run; a ratio is taken per round, and the median reported.",
    "Plain requests: closed loop, keep-alive, a 1 KB body, a 1 KB answer, headers as an SDK sends.",
    "Chunks: endless streams of a chunk of 0.3 KB a millisecond, as many as keep our core busy"
    " for about half of the time, and three times as many (saturated).",
    "Translation: the same streams, as many as keep our core busy for a quarter of the time where client and provider"
    " both speak OpenAI's dialect, then as many where one speaks another; the content events are as many and their text"
    " as long, each in the members that its API has. A ratio is to the stream of one dialect in the same round.",
    "Latency: open loop, evenly spaced, counted from when each request was due. 'Added' is the"
    " percentile through the system less the percentile of the direct path at the same rate; the"
    " direct path has one core, so with large bodies a relay on a second core can show less than"
    " nothing. A streamed answer is 10 chunks 5 ms apart; 'first content' is the first of them, which no"
    " upstream has at once; 'chunk' is from the upstream's write to"
    " the client's read. The rates are shares of our saturation; where the load's core is busier than"
    " 0.9 the load itself queued, and the latency is not the system's.",
    "Allowed at half of saturation is an added p99 of 5 ms, or four times a bare commit where that is more"
    " (synchronous=FULL, the median, measured just before).",
    "Holds: a process that does nothing else holds for so many calls at once, in one batch, and settles them in the"
    " next, the usage rows included; on the disk, nothing simulated. A provider that answers within a batch's time"
    " gets both in one.",
    "Limits: a process that does nothing else counts calls of 64 keys on five limits each, reads how the requests"
    " stand, and ends them. Alone it takes no locks; under locks the processes count on the same keys.",
    "'It waited for its core' is the share of time its processes were ready to run and did not: more"
    " than a few hundredths says that something else ran on the core, or (ours) that its journal's thread"
    " and its loop waited for each other. Rounds of requests and chunks in which another system's was over"
    " 0.05 (or steal over 0.03) are run again, and how many is said.",
    "Memory: private pages of all its processes; sockets in the kernel are not in it. Per connection"
    " and per stream: the growth over the number held. TLS with a self-signed P-256 certificate.",
    "Start-up: from the start of the process, compiled modules in place, the data directory new.",
]


def shown(value: float) -> str:
    """A number with three or four figures that mean something."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def row_of(figure: Figure) -> tuple[str, ...]:
    """One line of the table; no spread where there is one sample."""
    spread = ("", "")
    if len(figure.samples) > 1:
        spread = (shown(min(figure.samples)), shown(max(figure.samples)))
    return (figure.what, figure.system, shown(figure.value), *spread, figure.unit)


def verdicts(figures: Figures) -> list[dict[str, Any]]:
    """Every bar, the figure held against it, and the verdict."""
    held = []
    for bar in BARS:
        figure = figures.find(bar.section, bar.what, bar.system)
        bound = f"{'at least' if bar.at_least else 'at most'} {bar.required:g}"
        aim = f" (aim {bar.aim:g})" if bar.aim is not None else ""
        verdict = bar.verdict(figure.value) if figure else "not measured"
        value = shown(figure.value) if figure else "-"
        name = f"{bar.section}: {bar.what}"
        held.append({"bar": name, "system": bar.system, "bound": bound + aim, "value": value, "verdict": verdict})
    return held


def table(rows: list[tuple[str, ...]], headings: tuple[str, ...]) -> str:
    """A table in Markdown, padded so that it can be read as plain text."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = []
    for row in [headings, tuple("-" * width for width in widths), *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown(figures: Figures, facts: dict[str, str], command: str, failures: list[str]) -> str:
    """The whole report."""
    parts = [f"Made by `{command}`.", "\n".join(f"- {name}: {fact}" for name, fact in facts.items())]
    held = [tuple(each.values()) for each in verdicts(figures)]
    parts += ["## Verdict", table(held, ("bar", "system", "bound", "ours", "verdict"))]
    if failures:
        parts += ["## Failures", "\n".join("- " + line for line in failures)]
    for section, group in itertools.groupby(figures.rows.values(), key=lambda each: each.section):
        parts += [f"## {section[0].upper() + section[1:]}", table([row_of(each) for each in group], HEADINGS)]
    parts += ["## Method", "\n".join("- " + line for line in METHOD)]
    return "\n\n".join(parts) + "\n"


def as_json(figures: Figures, facts: dict[str, str], command: str, failures: list[str]) -> dict[str, Any]:
    """The whole report for a program, all samples in it."""
    return {
        "command": command,
        "machine": facts,
        "method": METHOD,
        "failures": failures,
        "verdicts": verdicts(figures),
        "figures": [figure.as_json() for figure in figures.rows.values()],
    }
