"""Gateways that leave failing targets alone as they do in earnest, providers that fail as told, and who calls them."""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.running.client import Answer, Caller
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import DONE, FINISH, ROLE, USAGE, USAGE_EVENT, Script, Upstream, Visit, said

IN_ROW = 5
PAUSE_S = 0.3
TRIAL_INTERVAL_S = 0.1
# Nobody is tried again before such a test is over: whoever is asked then was not left alone.
STEADY = {
    "FAREGATE_HEALTH_REPEATS": "true",
    "FAREGATE_HEALTH_FAILURES_IN_ROW_MAX": str(IN_ROW),
    "FAREGATE_HEALTH_WINDOW_CALLS_MIN": "50",
    "FAREGATE_HEALTH_PAUSE_S_MIN": "300",
    "FAREGATE_HEALTH_PAUSE_S_MAX": "300",
    "FAREGATE_HEALTH_LAST_TRIAL_INTERVAL_S": "300",
    "FAREGATE_HEALTH_LIMITED_S_MAX": "3600",
}
# The real times at a tenth; of few calls, half of which may fail.
SWIFT = STEADY | {
    "FAREGATE_HEALTH_FAILED_SHARE_MAX": "0.4",
    "FAREGATE_HEALTH_WINDOW_CALLS_MIN": "20",
    "FAREGATE_HEALTH_PAUSE_S_MIN": str(PAUSE_S),
    "FAREGATE_HEALTH_PAUSE_S_MAX": "3.0",
    "FAREGATE_HEALTH_LAST_TRIAL_INTERVAL_S": str(TRIAL_INTERVAL_S),
}
# A provider for each test, as what is remembered of one is not forgotten with the test.
CLIENTS = 12
PROVIDERS = [f"patient-{number}" for number in range(48)]


def tables(simulator: Simulator, failing: Upstream) -> str:
    """Each provider serves a model of its name, and another with `-first`, whose second target is the simulator."""
    text = [f'[providers.sim]\nbase_url = "{simulator.base_url}"\nkey = "k"\nwire = "exact"\nmodels = ["test-model"]']
    for name in PROVIDERS:
        text.append(f'[providers.{name}]\nbase_url = "{failing.base_url}"\nkey = "secret-of-{name}"\nwire = "exact"')
        text.append(f'models = ["{name}"]')
        route = f'[[routes]]\nmodel = "{name}-first"\n'
        text.append(f'{route}provider = "{name}"\nweight = 1000000\n{route}provider = "sim"\nweight = 0')
    text.append(f'[providers.google]\nbase_url = "{failing.base_url}"\nkey = "secret"\nmodels = ["of-another-dialect"]')
    route = '[[routes]]\nmodel = "all-down"\n'
    text.append(f'{route}provider = "{PROVIDERS[0]}"\nweight = 1000000\n{route}provider = "{PROVIDERS[1]}"\nweight = 0')
    return "\n".join(text)


class Ward:
    """A caller of a gateway, and a provider that no other test of that gateway has."""

    def __init__(self, gateway: Gateway, name: str, failing: Upstream) -> None:
        self.caller = Caller(gateway)
        self.name = name
        self.failing = failing

    def play(self, script: Script) -> list[Visit]:
        return self.failing.play(script)

    def alone(self, **members: Any) -> Answer:
        """A call of the model that nobody else serves."""
        return self.caller.chat(model=self.name, **members)

    def first(self, **members: Any) -> Answer:
        """A call of the model that the simulator serves too."""
        return self.caller.chat(model=f"{self.name}-first", **members)

    def served_by(self, answer: Answer) -> tuple[str, int]:
        """The provider that an answer is from, and how many attempts it took."""
        assert answer.status == 200, answer.body
        record = self.caller.record(answer.header("x-request-id"))
        return record["target"]["provider"], record["attempts"]

    def ejections(self) -> list[dict[str, Any]]:
        """What the log says of this provider's ejections."""
        lines = self.caller.gateway.log_lines()
        return [
            line
            for line in lines
            if line.get("event") == "target_ejected" and line["target"].partition("/")[0] == self.name
        ]

    def is_ejected(self) -> bool:
        """Whether /metrics has this provider, or a target of it, among those that are left alone."""
        metrics = self.caller.get("/metrics").body.decode()
        return any(f'faregate_target_ejected{{target="{self.name}{end}' in metrics for end in '"/')

    def eject(self, call: Callable[[], Answer]) -> float:
        """Call until the provider is ejected; when that was not yet so."""
        for _ in range(10 * IN_ROW):
            before = time.monotonic()
            call()
            if self.is_ejected():
                return before
        raise AssertionError("nobody was ejected")


WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()


def refuses(status: int, code: str | None = "none", fields: bytes = b"", message: str = "no") -> Script:
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return lambda visit: visit.whole(status, body, fields=fields)


def serves(visit: Visit) -> None:
    if visit.json().get("stream"):
        visit.stream(ROLE, said("hello"), FINISH, USAGE_EVENT, DONE)
        visit.end()
    else:
        visit.whole(200, WHOLE)


def hangs(visit: Visit) -> None:
    visit.until_gone()


def in_turn(*scripts: Script) -> Script:
    """The first, the second and so on, then the last for ever."""
    left = list(scripts)

    def script(visit: Visit) -> None:
        play = left.pop(0) if len(left) > 1 else left[0]
        play(visit)

    return script


def dies(visit: Visit, rng: random.Random) -> None:
    """Says something, in pieces cut anywhere, and goes away in the middle of it."""
    data = ROLE + b"".join(said(f"word {number} ") for number in range(20))
    begun = len(ROLE + said("word 0 "))
    data = data[: rng.randrange(begun, len(data))]
    pieces = []
    while data:
        size = rng.randint(1, 60)
        pieces.append(data[:size])
        data = data[size:]
    visit.stream(*pieces)
    if rng.random() < 0.5:
        visit.end()


def assert_all_down(answer: Answer) -> None:
    """What is said where everybody is ejected."""
    assert answer.status == 503, answer.body
    assert answer.error["code"] == "upstream_unavailable"
    assert int(answer.header("retry-after") or 0) >= 1
    assert answer.header("x-should-retry") == "false"


def storm(call: Callable[[], Answer], calls: int) -> list[Answer]:
    """So many calls of a dozen clients at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda _: call(), range(calls)))
