"""The attempts of a call, whatever its targets say: who is asked, in which order, how often, and what the client hears.

The oracle goes by the table of docs/routing.md, one line at a time; nothing here is a socket.
"""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.call import UsageRecord
from faregate.core.catalog import Candidate, Model, Target
from faregate.core.errors import (
    CallError,
    DeadlineExceeded,
    Inexpressible,
    UpstreamDenied,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamUnavailable,
)
from faregate.flow import failover
from faregate.flow.gate import FlowLimits
from faregate.flow.health import Health, HealthLimits

OUTCOMES = ("answer", "down", "500", "denied", "limited-1", "limited-9", "limited", "refused", "untold", "late")
ENDS = ("refused", "late")  # the call itself is over


def error_of(outcome: str) -> CallError:
    match outcome:
        case "down":
            return UpstreamUnavailable("down")
        case "500":
            return UpstreamUnavailable("500", status=500)
        case "denied":
            return UpstreamDenied("denied", status=401)
        case "limited":
            return UpstreamLimited("limited", retry_after_s=None, status=429)
        case "limited-1" | "limited-9":
            return UpstreamLimited(outcome, retry_after_s=float(outcome[-1]), status=429)
        case "refused":
            return UpstreamRefused("refused", status=400, error_type=None, code=None, param=None)
        case "untold":
            return Inexpressible("untold", param="seed")
    return DeadlineExceeded("late")


class Stage:
    """Targets that answer by a script, each its own, and then again by its last word."""

    def __init__(self, script: list[list[list[str]]], *, repeats: bool) -> None:
        self.said = {
            Target(provider=f"p{depth}.{place}", upstream_model="m"): list(words)
            for depth, targets in enumerate(script)
            for place, words in enumerate(targets)
        }
        self.asked: list[str] = []
        self.candidates = tuple(
            Candidate(
                Model(id=f"model-{depth}", vendor="v"),
                tuple(target for target in self.said if target.provider.startswith(f"p{depth}.")),
                depth,
            )
            for depth in range(len(script))
        )
        self.call: Any = SimpleNamespace(
            record=UsageRecord(id="id", received_at=0.0, model="model-0"),
            is_deserted=False,
            deadline_at=100.0,
            request=SimpleNamespace(output_tokens_cap=None),
        )
        self.gate: Any = SimpleNamespace(
            health=Health(HealthLimits(failures_in_row_max=10**6, window_calls_min=10**6), clock=lambda: 0.0),
            limits=FlowLimits(repeats=repeats),
            deadlines=SimpleNamespace(now=0.0),
            expectations=SimpleNamespace(first_byte_s=lambda *_: 0.0),
        )

    async def ask(self, _gate: Any, _model: Model, attempt: Any, _call: Any) -> str:
        """In the place of relay.ask. What a target failed at is not told to its health: here each call is the first."""
        words = self.said[attempt.target]
        word = words.pop(0) if len(words) > 1 else words[0]
        self.asked.append(attempt.target.provider)
        if word != "answer":
            raise error_of(word)
        return f"answer of {attempt.target.provider}"

    def run(self) -> str:
        """The answer, or the kind of error that the client hears."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(failover.relay, "ask", self.ask)
            try:
                return str(asyncio.run(failover.open(self.gate, self.candidates, self.call)))
            except CallError as error:
                return error.kind


@pytest.fixture(autouse=True, scope="module")
def unhurried() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:

        async def at_once(_: float) -> None:
            return

        def turn_to(_gate: Any, call: Any, model: Model) -> None:
            call.record.fallback_from = call.record.fallback_from or call.record.model
            call.record.model = model.id

        patch.setattr(failover.asyncio, "sleep", at_once)
        patch.setattr(failover.funds, "turn_to", turn_to)
        yield


def expected(script: list[list[list[str]]], *, repeats: bool) -> tuple[str, list[str], int]:
    """What the client hears, who was asked, and how many fallbacks it took."""
    asked: list[str] = []
    failures: list[str] = []
    for depth, targets in enumerate(script):
        untold = failed = False
        words = [list(each) for each in targets[:3]]
        order = list(range(len(words)))
        while order:
            place = order.pop(0)
            word = words[place].pop(0) if len(words[place]) > 1 else words[place][0]
            asked.append(f"p{depth}.{place}")
            if word == "answer":
                return f"answer of p{depth}.{place}", asked, depth
            if word == "late":
                return "request_timeout", asked, depth
            if word == "refused":
                if depth == 0:
                    return "upstream_refused", asked, depth
                break
            if word == "untold":
                untold = True
                continue
            is_first = not failed
            failed = True
            failures.append(word)
            if repeats and is_first and len(targets) == 1 and word in ("500", "limited-1") and not untold:
                order.append(place)
        if untold and not failed and depth == 0:
            return "unsupported_parameter", asked, depth
    limits = [word for word in failures if word.startswith("limited")]
    return "upstream_rate_limited" if len(limits) == len(failures) else "upstream_unavailable", asked, len(script) - 1


words = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=2)
scripts = st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=3)


@settings(deadline=None, max_examples=400)
@given(scripts, st.booleans())
def test_whatever_the_targets_say(script: list[list[list[str]]], repeats: bool) -> None:
    stage = Stage(script, repeats=repeats)
    heard, asked, depth = expected(script, repeats=repeats)
    assert (stage.run(), stage.asked) == (heard, asked)
    record = stage.call.record
    assert (record.model, record.fallback_depth) == (f"model-{depth}", depth)
    assert record.fallback_from == ("model-0" if depth else "")
    assert record.has_failed_over == (len(set(asked)) > 1 and _moved_for_a_failure(script, asked))
    assert not stage.gate.health._retries


def _moved_for_a_failure(script: list[list[list[str]]], asked: list[str]) -> bool:
    """Whether another target was asked after one had failed, rather than because it could not be told something."""
    first = {name: int(name[1:].partition(".")[0]) for name in asked}
    seen: dict[str, int] = {}
    failed = False
    previous = ""
    for name in asked:
        depth, _, place = name[1:].partition(".")
        spoken = script[int(depth)][int(place)]
        word = spoken[min(seen.get(name, 0), len(spoken) - 1)]
        if (first[name] and name != previous) or (failed and name != previous):
            return True
        failed = failed or isinstance(error_of(word), UpstreamError)
        seen[name] = seen.get(name, 0) + 1
        previous = name
    return False
