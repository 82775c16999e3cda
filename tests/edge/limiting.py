"""Keys with limits, calls in all dialects, and an upstream that holds what it gets, for the tests of limits."""

import asyncio
import itertools
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.running.client import HELLO, Answer, Caller, eventually, request_bytes
from tests.running.processes import Gateway
from tests.running.upstreams import DONE, FINISH, ROLE, USAGE, USAGE_EVENT, Visit, said

from .conftest import command_json

LIMIT, REMAINING, RESET = (f"x-ratelimit-{each}-requests" for each in ("limit", "remaining", "reset"))
PROMPT_TOKENS_MAX = 200  # more than a body of these tests is ever taken for
_numbers = itertools.count()


@dataclass(frozen=True)
class Shape:
    """How a client of a dialect asks. `output` is what it calls the bound on output, and where it stands."""

    dialect: str
    output: tuple[str, ...]

    def path(self, model: str, *, stream: bool = False) -> str:
        if self.dialect == "gemini_generate":
            return f"/v1beta/models/{model}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"
        paths = {"openai_chat": "chat/completions", "anthropic_messages": "messages", "openai_responses": "responses"}
        return f"/v1/{paths[self.dialect]}"

    def body(self, model: str, *, stream: bool = False, text: str = "hello", output: int | None = None) -> Any:
        if self.dialect == "gemini_generate":
            body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        else:
            said_by = "input" if self.dialect == "openai_responses" else "messages"
            body = {"model": model, said_by: [{"role": "user", "content": text}]}
            if stream:
                body["stream"] = True
            if self.dialect == "anthropic_messages":
                body["max_tokens"] = 64  # which it must have
        if output is not None:
            inner = body
            for name in self.output[:-1]:
                inner = inner.setdefault(name, {})
            inner[self.output[-1]] = output
        return body

    def ask(self, caller: Caller, model: str, headers: Mapping[str, str] | None = None, **how: Any) -> Answer:
        """One call, its whole answer."""
        path = self.path(model, stream=how.get("stream", False))
        return caller.ask("POST", path, self.body(model, **how), headers)


SHAPES = {
    shape.dialect: shape
    for shape in (
        Shape("openai_chat", ("max_tokens",)),
        Shape("anthropic_messages", ("max_tokens",)),
        Shape("gemini_generate", ("generationConfig", "maxOutputTokens")),
        Shape("openai_responses", ("max_output_tokens",)),
    )
}


@dataclass
class Tenants:
    """Makes organisations, projects and keys of a gateway, with words of the command line for each."""

    gateway: Gateway

    def organisation(self, *, metered: bool = True) -> str:
        words = ["--metered"] if metered else []
        return self._made("orgs", "create", f"org-{next(_numbers)}", *words)

    def project(self, organisation: str) -> str:
        return self._made("projects", "create", f"project-{next(_numbers)}", "--org", organisation)

    def key(self, project: str = "demo", *limits: str) -> Caller:
        made = command_json(self.gateway, "keys", "create", f"key-{next(_numbers)}", "--project", project, *limits)
        return Caller(self.gateway, made["key"])

    def set(self, noun: str, which: str, *limits: str) -> None:
        command_json(self.gateway, noun, "set", which, *limits)

    def _made(self, *words: str) -> str:
        return command_json(self.gateway, *words)[0]["id"]


def key_id(caller: Caller) -> str:
    return caller.key.removeprefix("sk-fg-")[:12]


def rate(answer: Answer) -> tuple[int, int]:
    """The limit that an answer tells of, and what is left of it."""
    return int(answer.header(LIMIT) or -1), int(answer.header(REMAINING) or -1)


def daily_left(caller: Caller, model: str = "test-model", *, most: int = 100_000) -> int:
    """The most tokens that a call could be admitted with now, by what quotes say, which take nothing; with the bound
    on its input, so for comparing."""

    def fits(tokens: int) -> bool:
        asked = {"path": "/v1/chat/completions", "body": {"model": model, "messages": HELLO, "max_tokens": tokens}}
        answer = caller.ask("POST", "/v1/quote", asked)
        return answer.json()["would_be"]["status"] == 200

    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


@dataclass
class Hold:
    """An upstream's script that keeps every call until it is let go, and counts those that are there."""

    whole: bool = True
    visits: int = 0
    present: int = 0
    most: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, visit: Visit) -> None:
        with self._lock:
            self.visits += 1
            self.present += 1
            self.most = max(self.most, self.present)
        try:
            if visit.json().get("stream"):
                visit.stream(ROLE, said("one"))
                self._wait(visit)
                visit.pieces(said(" two"), FINISH, USAGE_EVENT, DONE)
                visit.end()
            else:
                self._wait(visit)
                message = {"role": "assistant", "content": "hello"}
                choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
                whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "scripted", "usage": USAGE}
                visit.whole(200, json.dumps({**whole, "choices": choices}).encode())
        finally:
            with self._lock:
                self.present -= 1

    def _wait(self, visit: Visit) -> None:
        while not self._gate.wait(0.1):
            visit.check()

    def let_go(self) -> None:
        self._gate.set()

    def until(self, present: int) -> None:
        """Wait until so many are there."""
        eventually(lambda: self.present == present)


async def flood(port: int, requests: list[bytes]) -> list[asyncio.Task[int]]:
    """Send them all at once, each on a connection of its own; tasks that give the status of each."""

    async def one(request: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return int((await reader.readuntil(b"\r\n")).split()[1])
        finally:
            writer.close()

    return [asyncio.ensure_future(one(request)) for request in requests]


async def all_but(tasks: list[asyncio.Task[int]], count: int) -> None:
    """Wait until no more than so many of them are under way."""
    under_way = set(tasks)
    async with asyncio.timeout(30):
        while len(under_way) > count:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)


async def statuses(tasks: list[asyncio.Task[int]]) -> Counter[int]:
    """What came of them all."""
    async with asyncio.timeout(30):
        return Counter(await asyncio.gather(*tasks))


def chat_bytes(caller: Caller, **members: Any) -> bytes:
    body = json.dumps({"model": caller.model, "messages": HELLO, **members}).encode()
    return request_bytes("POST", "/v1/chat/completions", body, key=caller.key)
