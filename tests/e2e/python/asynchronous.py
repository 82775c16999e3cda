"""What the tests can ask of the asynchronous client."""

import asyncio
import functools
import json
import time
import urllib.request
from typing import Any

import openai
from clients import arguments_of, events_done, options_of, plain, with_environment

POLL_INTERVAL_S = 0.01
ARRIVAL_TIMEOUT_S = 20.0


@functools.cache
def _cached(options: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(**json.loads(options))


def client(request: dict[str, Any]) -> openai.AsyncOpenAI:
    """The client that a request wants; the same for the same wishes."""
    if "environment" in request:
        return with_environment(request, openai.AsyncOpenAI)
    return _cached(json.dumps(options_of(request)))


async def create(request: dict[str, Any], report: dict[str, Any]) -> None:
    """A whole answer."""
    completion = await client(request).chat.completions.create(**arguments_of(request))
    report["answer"] = plain(completion)
    report["request_id"] = completion._request_id


async def collect(request: dict[str, Any], report: dict[str, Any]) -> None:
    """A stream's chunks; `take` of them where not all."""
    chunks = report["chunks"] = []
    stream = await client(request).chat.completions.create(**arguments_of(request), stream=True)
    report["request_id"] = stream.response.headers["x-request-id"]
    async for chunk in stream:
        chunks.append(plain(chunk))
        if len(chunks) == request.get("take"):
            break
    await stream.close()


async def accumulate(request: dict[str, Any], report: dict[str, Any]) -> None:
    """The answer that the streaming helper makes of a stream's chunks; `take` of its events where not all."""
    async with client(request).chat.completions.stream(**arguments_of(request)) as stream:
        count = 0
        async for event in stream:
            count += 1
            events_done(event, report)
            if count == request.get("take"):
                return
        report["answer"] = plain(await stream.get_final_completion())


async def concurrently(request: dict[str, Any], report: dict[str, Any]) -> None:
    """`count` whole answers and as many streams, all at once."""
    one = client(request)
    arguments = arguments_of(request)

    async def streamed() -> str:
        chunks = await one.chat.completions.create(**arguments, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    async def whole() -> str:
        return (await one.chat.completions.create(**arguments)).choices[0].message.content or ""

    calls = [make() for _ in range(request["count"]) for make in (whole, streamed)]
    report["said"] = await asyncio.gather(*calls)


async def abandon(request: dict[str, Any], report: dict[str, Any]) -> None:
    """Ask for a whole answer and lose patience once what `watch` answers holds the `sign` that the upstream has it."""
    task = asyncio.ensure_future(client(request).chat.completions.create(**arguments_of(request)))
    await asyncio.to_thread(_wait_for_arrival, request["watch"], request["sign"])
    task.cancel()
    await asyncio.wait([task])
    report["cancelled"] = task.cancelled()


def _wait_for_arrival(url: str, sign: str) -> None:
    deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url, timeout=10) as answer:
            if sign in answer.read().decode():
                return
        time.sleep(POLL_INTERVAL_S)


OPERATIONS = {
    "create": create,
    "collect": collect,
    "accumulate": accumulate,
    "concurrently": concurrently,
    "abandon": abandon,
}
