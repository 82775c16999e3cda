"""What is asked in these tests, and what both upstreams answer to it (replies.json)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import LineProcess

MODEL = "gpt-4o"
REPLIES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "replies.json").read_text("utf-8"))


@dataclass(frozen=True)
class Sdk:
    """One SDK; `is_async` for Python's asynchronous client, which lives in the same process."""

    name: str
    process: LineProcess
    is_async: bool = False

    @property
    def is_python(self) -> bool:
        return self.name.startswith("python")

    def report(self, operation: str, client: dict[str, Any], params: dict[str, Any], **more: Any) -> dict[str, Any]:
        """What came of an operation: the members that it fills, and `error` where it failed as SDKs fail."""
        request = {"operation": operation, "is_async": self.is_async, "client": client, "params": params, **more}
        report = self.process.ask(request)
        assert "crash" not in report, report["crash"]
        return report

    def do(self, operation: str, client: dict[str, Any], params: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The report of an operation that must work."""
        report = self.report(operation, client, params, **more)
        assert "error" not in report, report["error"]
        return report

    def fail(self, operation: str, client: dict[str, Any], params: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The error of an operation that must fail."""
        report = self.report(operation, client, params, **more)
        assert "error" in report, report
        return report["error"]


def tool(name: str, **properties: list[str]) -> dict[str, Any]:
    """A tool whose arguments can have one value each, so that every upstream calls it with the same."""
    parameters = {
        "type": "object",
        "properties": {key: {"type": "string", "enum": values} for key, values in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
    function = {"name": name, "description": f"{name}.", "strict": True, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool("get_weather", city=["Paris"], unit=["celsius"])
TIME = tool("get_time", city=["Paris"])
BELL = tool("ring_bell")


def asks(name: str, *, simulator: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The body that asks for a reply of replies.json. What aimock looks up by the prompt, the simulator is told."""
    reply = REPLIES[name]
    told: dict[str, Any] = {}
    if "error" in reply:
        told |= {"status": reply["error"]["status"], "error_message": reply["error"]["message"]}
        told |= {"retry_after_s": reply["error"]["retry_after_s"]} if "retry_after_s" in reply["error"] else {}
        told |= {"times": reply["fails"]} if "fails" in reply else {}
    if "content" in reply and "tool_calls" not in reply:
        told["text"] = reply["content"]
    if reply.get("breaks"):
        told["malformed"] = "error_event"
    told |= simulator or {}
    body = {"model": MODEL, "messages": [{"role": "user", "content": reply["prompt"]}], **members}
    return {**body, "simulator": told} if told else body


def text_of(chunks: list[dict[str, Any]], index: int = 0) -> str:
    """What a choice of a collected stream says."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(delta.get("content") or "" for delta in deltas)


def calls_of(answer: dict[str, Any], choice: int = 0) -> list[tuple[str, str]]:
    """Names and arguments of an answer's tool calls, whose ids and types are checked."""
    calls = answer["choices"][choice]["message"].get("tool_calls", [])
    assert all(call["id"] and call["type"] == "function" for call in calls)
    assert len({call["id"] for call in calls}) == len(calls)
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


def called(name: str) -> list[tuple[str, str]]:
    """The tool calls of a reply."""
    return [(call["name"], call["arguments"]) for call in REPLIES[name]["tool_calls"]]
