"""The client leaves, and its provider's `on_disconnect` is `cancel` or `no_bill`: what was delivered, or nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import Answer, eventually
from tests.running.processes import CLEAN
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

from ..books import Customer, cost_of
from .leaving import ALL, CLOSED_WITHIN_S, Stage, begins, ends, left, silent, start, until_gone

# cancel and no_bill


@pytest.mark.parametrize("policy", ["cancel", "no_bill"])
def test_the_provider_is_closed_at_once(buyer: Customer, provider: Upstream, policy: str) -> None:
    """A machine that is busy elsewhere may be late once; three times in a row it is the gateway."""
    late = []
    for number in range(3):
        stage = Stage(provider, begins, until_gone)
        stage.goes_on.set()
        spent = buyer.spent
        with start(buyer, f"{policy}-{number}", model=f"{policy}-it") as connection:
            connection.head()
            connection.body_until(b'"content":"a"')
            left_at = connection.close()
        record, held = left(buyer, f"{policy}-{number}")
        if policy == "cancel":
            assert record["usage"]["source"] == "counted"
            assert held.charged == cost_of(record["usage"]["prompt_tokens"], 1) > 0
        else:
            assert (record["usage"]["source"], record["usage"]["total_tokens"]) == ("none", 0)
            assert (held.charged, held.cost) == (0, 0)
        assert buyer.spent - spent == held.charged
        late.append(eventually(lambda visits=stage.visits: visits[0].gone_at) - left_at)
        if late[-1] <= CLOSED_WITHIN_S:
            return
    raise AssertionError(late)


@pytest.mark.parametrize("policy", ["cancel", "no_bill"])
@pytest.mark.parametrize("stream", [False, True])
def test_before_the_answer_both_cost_nothing(buyer: Customer, provider: Upstream, policy: str, stream: bool) -> None:
    stage = Stage(provider, silent, until_gone)
    stage.goes_on.set()
    with start(buyer, f"early-{policy}-{stream}", stream=stream, model=f"{policy}-it"):
        eventually(lambda: stage.visits)
    record, held = left(buyer, f"early-{policy}-{stream}")
    assert (held.charged, record["usage"]["total_tokens"]) == (0, 0)
    eventually(lambda: stage.visits[0].gone_at)


def test_what_is_whole_is_charged_though_its_end_mark_was_not_waited_for(buyer: Customer, provider: Upstream) -> None:
    """Or every client would cut its streams there."""

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("all"), FINISH, USAGE_EVENT, b"data: [DONE]\n")
        visit.until_gone()

    provider.play(script)
    with start(buyer, "whole", model="no_bill-it") as connection:
        connection.head()
        connection.body_until(b'"finish_reason":"stop"')
    _, held = left(buyer, "whole")
    assert held.charged == ALL


@pytest.mark.parametrize("policy", ["drain", "cancel", "no_bill"])
def test_who_stays_pays_the_same_under_each(buyer: Customer, provider: Upstream, policy: str) -> None:
    stage = Stage(provider, begins, ends)
    stage.goes_on.set()
    answer: Answer = buyer.streamed(model=f"{policy}-it")
    assert (answer.status, answer.text) == (200, "ab")
    assert buyer.settled(answer.header("x-request-id")).charged == ALL


@pytest.mark.parametrize("policy", ["close", "DRAIN", ""])
def test_another_word_is_refused_at_the_start(session_folder: Path, provider: Upstream, policy: str) -> None:
    file = session_folder / "policy.toml"
    file.write_text(f'[providers.x]\nbase_url = "{provider.base_url}"\non_disconnect = "{policy}"\n', "utf-8")
    done = _check(file)
    assert done.returncode != 0
    assert f"{file}:3: providers.x.on_disconnect" in done.stderr


def _check(file: Path) -> Any:
    """`faregate config check` of a file."""
    words = [sys.executable, "-m", "faregate", "config", "check", "--config", str(file)]
    return subprocess.run(words, capture_output=True, text=True, env=CLEAN, timeout=30, check=False)
