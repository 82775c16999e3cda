"""Any value anywhere: requests of clients and answers of providers with something in them replaced, removed or put in
twice. Never a crash: a client's is served, or refused in the client's dialect; a provider's gives an answer that is
whole in the client's dialect, or a failure of the provider."""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import DIALECTS, UPSTREAMS, Case
from .judging import put, standing_wrongs
from .matrix import matrix_cases
from .seeing import Seen

PAIRS = [(client, upstream) for client in DIALECTS for upstream in UPSTREAMS]
TIMES = 60
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 1.5, 2**70, "", "x", "\u0000", "\ud83d", "data:image/png;base64,x"),
    *([], {}, [None], [[]], [{}], {"type": "x"}, [{"type": 7}], "a" * 300),
)
ERRORS = {
    "openai": lambda body: isinstance(body["error"]["message"], str) and "type" in body["error"],
    "openai-responses": lambda body: isinstance(body["error"]["message"], str) and "type" in body["error"],
    "anthropic": lambda body: body["type"] == "error" and isinstance(body["error"]["message"], str),
    "gemini": lambda body: isinstance(body["error"]["code"], int) and isinstance(body["error"]["status"], str),
}


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values in a JSON value, but for itself."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in entries:
        yield (*path, name)
        yield from _places(member, (*path, name))


def spoiled(value: Any, dice: random.Random) -> Any:
    """A copy with one thing in it that does not belong there."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return value
    *path, last = dice.choice(places)
    holder = value
    for step in path:
        holder = holder[step]
    deed = dice.random()
    if deed < 0.15:
        del holder[last]
    elif deed < 0.25 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[last]))
    else:
        holder[last] = copy.deepcopy(dice.choice(_VALUES))
    return value


def cases_of(client: str, upstream: str) -> list[Case]:
    return [
        case
        for case in matrix_cases()
        if (case.client, case.upstream, case.wire) == (client, upstream, "compatible") and "error" not in case.name
    ]


def wrongs_with(case: Case, seen: Seen) -> list[str]:
    """What is wrong with an answer that was made of something wrong."""
    if seen.answer.status == 200:
        return standing_wrongs(case, seen) if case.is_translated else []
    return [] if ERRORS[case.client](seen.answer.json()) else ["the error is none of the client's dialect"]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_requests(client: str, upstream: str, crossing: Gateway, player: Upstream) -> None:
    dice = random.Random(f"requests/{client}/{upstream}")
    cases = cases_of(client, upstream)
    for _ in range(TIMES):
        case = dice.choice(cases)
        body = spoiled(case.said["request"]["body"], dice)
        spoiled_case = replace(case, said={**case.said, "request": {**case.said["request"], "body": body}})
        seen, asked = put(spoiled_case, crossing, player)
        wrongs = wrongs_with(spoiled_case, seen)
        if seen.answer.status not in (200, 400, 404, 503):
            wrongs.append(f"the status is {seen.answer.status}")
        if seen.answer.status in (400, 404) and asked:
            wrongs.append("the provider was asked")
        assert not wrongs, (wrongs, seen.answer.status, bytes(seen.answer.body), json.dumps(body))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_answers(client: str, upstream: str, crossing: Gateway, player: Upstream) -> None:
    dice = random.Random(f"answers/{client}/{upstream}")
    cases = cases_of(client, upstream)
    for _ in range(TIMES):
        case = dice.choice(cases)
        said = dict(case.said)
        if "upstream_stream" in said:
            items = list(said["upstream_stream"])
            place = dice.randrange(len(items))
            if isinstance(items[place].get("data"), dict):
                items[place] = {**items[place], "data": spoiled(items[place]["data"], dice)}
            said["upstream_stream"] = items
        elif "body" in said["upstream_response"]:
            body = spoiled(said["upstream_response"]["body"], dice)
            said["upstream_response"] = {**said["upstream_response"], "body": body}
        spoiled_case = replace(case, said=said)
        seen, _ = put(spoiled_case, crossing, player)
        wrongs = wrongs_with(spoiled_case, seen)
        if seen.answer.status not in (200, 503):
            wrongs.append(f"the status is {seen.answer.status}")
        given = said.get("upstream_stream") or said["upstream_response"]
        assert not wrongs, (case.name, wrongs, seen.answer.status, bytes(seen.answer.body), json.dumps(given))
