"""Load on a gateway from many connections at once, and what each of its clients saw."""

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.running.client import CHAT, Answer, Caller, Connection

from .books import cost_of
from .test_exact import IMAGES, TOOLS

PROMPT_TOKENS = 4  # of HELLO, as the simulator counts


@dataclass
class Sight:
    """One request as its client saw it: `tokens` of text came, `whole` if all of it did."""

    request_id: str
    stream: bool
    tokens: int
    whole: bool
    asked: int

    @property
    def full_cost(self) -> int:
        return cost_of(PROMPT_TOKENS, self.asked)

    @property
    def cost_max(self) -> int:
        """What its client may be charged: for what it received, by the gateway's count or the provider's."""
        return cost_of(40, self.tokens + 1) if self.tokens else 0


def mixed(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """A path and a body without its model, of any kind that there is."""
    path = CHAT
    members: dict[str, Any] = {}
    plan: dict[str, Any] = {"output_tokens": dice.randrange(40)}
    match dice.randrange(8):
        case 0:
            plan["cached_tokens"] = dice.randrange(9)
        case 1:
            plan["reasoning"] = True
            members["reasoning_effort"] = dice.choice(["minimal", "low"])
        case 2:
            members["n"] = 2
        case 3:
            members["tools"] = TOOLS
        case 4:
            members["messages"] = IMAGES
        case 5:
            path, members = "/v1/completions", {"prompt": "Go on"}
        case _:
            pass
    if path == CHAT:
        members.setdefault("messages", [{"role": "user", "content": f"hello {dice.randrange(10**9)}"}])
    if dice.random() < 0.5:
        members["stream"] = True
        if dice.random() < 0.5:
            members["stream_options"] = {"include_usage": True}
    return path, {**members, "simulator": plan}


def each_in_a_thread(threads: int, work: Callable[[int], None]) -> None:
    """`work` of each number in a thread of its own; fails if one of them does."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    started = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if failures:
        raise failures[0]


@dataclass
class Crowd:
    """Clients that ask one thing after the other until the gateway is gone."""

    caller: Caller
    seed: int
    clients: int = 8
    sights: list[Sight] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()

    def join(self) -> list[Sight]:
        """What they saw, once the gateway is dead."""
        for thread in self._threads:
            thread.join()
        return self.sights

    def _client(self, number: int) -> None:
        dice = random.Random(self.seed * 1000 + number)
        with contextlib.suppress(OSError), contextlib.closing(Connection(self.caller.gateway.port)) as connection:
            for stream, asked, plan in self._plans(dice):
                body = self.caller.body({"output_tokens": asked, **plan}, stream=stream)
                connection.send(self.caller.bytes_of("POST", CHAT, body))
                self.sights.append(_seen(connection, stream, asked))

    def _plans(self, dice: random.Random) -> Iterator[tuple[bool, int, dict[str, Any]]]:
        while True:
            if dice.random() < 0.5:
                yield False, dice.randrange(1, 50), {"first_token_ms": dice.choice([0, 0, 20])}
            else:
                slow = {"tokens_per_s": dice.choice([100, 1000])} if dice.random() < 0.6 else {}
                yield True, dice.randrange(1, 400), slow


def _seen(connection: Connection, stream: bool, asked: int) -> Sight:
    """Read one answer as far as it comes. OSError where not even its head does."""
    answer = connection.head()
    assert answer.status == 200, answer
    request_id = (answer.header("x-request-id") or "").replace("-", "")
    whole = True
    try:
        answer = connection.rest()
    except (TimeoutError, ConnectionError):
        whole = False
    tokens = _tokens_in(answer) if stream else asked if whole else 0
    return Sight(request_id, stream, tokens, whole, asked)


def _tokens_in(answer: Answer) -> int:
    said = [part[6:] for part in bytes(answer.body).split(b"\n\n") if part.startswith(b'data: {"')]
    choices = [choice for event in said for choice in json.loads(event)["choices"]]
    return sum(1 for choice in choices if choice["delta"].get("content"))
