"""Clients, and what both kinds of client share: parameters, models of answers, tools, clean reports."""

import os
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

# Not parameters of the SDK's methods, and so given as members of the body.
EXTRA = frozenset({"simulator", "a_new_parameter"})


class Line(BaseModel):
    """Part of an Invoice."""

    model_config = ConfigDict(extra="forbid")

    what: str
    count: int


class Invoice(BaseModel):
    """What the structured-output tests ask for; said again in ../node/operations.mjs."""

    model_config = ConfigDict(extra="forbid")

    number: str
    lines: list[Line]
    paid: bool | None


TOOLS: dict[str, Callable[..., str]] = {
    "get_weather": lambda city, unit: f"21 degrees {unit} in {city}",
    "get_time": lambda city: f"noon in {city}",
    "ring_bell": lambda: "rung",
}


def arguments_of(request: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of an SDK's method from the members of a body."""
    given = dict(request["params"])
    extra = {name: given.pop(name) for name in list(given) if name in EXTRA}
    arguments = {**given, "extra_body": extra} if extra else given
    if request.get("wants_invoice"):
        arguments["response_format"] = Invoice
    return arguments


def options_of(request: dict[str, Any]) -> dict[str, Any]:
    """What a client is made with: strict, so that an answer of a shape that the SDK does not know is an error."""
    return {"_strict_response_validation": True, "max_retries": 0, "timeout": 30.0, **request["client"]}


def with_environment(request: dict[str, Any], make: Callable[..., Any]) -> Any:
    """A client made with nothing but the request's environment variables."""
    names = request["environment"]
    os.environ.update(names)
    try:
        return make()
    finally:
        for name in names:
            del os.environ[name]


def note_try(report: dict[str, Any], headers: Any) -> None:
    """One more request leaves."""
    report.setdefault("tries", []).append(
        {"retry_count": headers.get("x-stainless-retry-count"), "at_s": time.monotonic()}
    )


def plain(value: Any) -> Any:
    """An answer as the JSON it came as."""
    return value.to_dict(mode="json")


def events_done(event: Any, report: dict[str, Any]) -> None:
    """Note an event of the streaming helper."""
    report.setdefault("events", {}).setdefault(event.type, 0)
    report["events"][event.type] += 1
    if event.type == "content.done":
        report.setdefault("done", []).append(event.content)
    elif event.type == "tool_calls.function.arguments.done":
        report.setdefault("done", []).append([event.name, event.arguments])
