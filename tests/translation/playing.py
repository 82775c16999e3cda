"""The provider's part in a case: what it was asked, and the bytes it answers with, cut at random."""

import base64
import email.parser
import email.policy
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from faregate.simulator.bedrock.encoding import message
from tests.running.upstreams import Script, Visit, chunk_of

from .cases import Case

_LINE_ENDS = {"gemini": "\r\n"}  # Google ends the lines of its events so
_STREAM_TYPES = {"bedrock": "application/vnd.amazon.eventstream"}
_PIECE_BYTES = (1, 2, 7, 40, 300, 5000)
_PAUSE_S = 0.0004
_BEFORE_RESET_S = 0.03  # so that what was sent is read before the reset


@dataclass(frozen=True)
class Asked:
    """A request as the provider had it. Names of `headers` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @staticmethod
    def of(visit: Visit) -> "Asked":
        first, *lines = visit.head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return Asked(method, path, {name.lower(): value.strip() for name, _, value in pairs}, visit.body)

    def seen(self) -> dict[str, Any]:
        """As a case's expectation has it."""
        found: dict[str, Any] = {"method": self.method, "path": self.path, "headers": self.headers}
        found["raw_body"] = self.body.decode("utf-8", "replace")
        if self.headers.get("content-type", "").startswith("multipart/"):
            parts = list(_parts_of(self.headers["content-type"], self.body))
            found["multipart"] = dict(parts)
            names = [name for name, value in parts if isinstance(value, dict)]
            found["multipart_files"] = {name: names.count(name) for name in names}
        elif self.body:
            found["body"] = json.loads(self.body)
        return found


def script_of(case: Case, seed: int) -> Script:
    """What the provider does in a case; `seed` decides where its bytes are cut and how its JSON is written."""

    def play(visit: Visit) -> None:
        dice = random.Random(f"{case.name}/{seed}")
        if "upstream_stream" in case.said:
            _play_stream(case, visit, dice)
        elif "upstream_response" in case.said:
            _play_whole(case, visit, dice)

    return play


def hidden_tool(case: Case, visit: Visit) -> str | None:
    """The name of a tool in what the provider was asked that is not the client's, where there is one."""
    asked = set(_tool_names(visit.json()))
    return next(iter(asked - set(_tool_names(case.request["body"]))), None)


def _tool_names(value: Any) -> Iterator[str]:
    """The names in any dialect's tools."""
    for tool in value.get("toolConfig", {}).get("tools", ()):
        yield tool["toolSpec"]["name"]
    for tool in value.get("tools") or ():
        yield from (declared["name"] for declared in tool.get("functionDeclarations", ()))
        name = tool.get("name") or tool.get("function", {}).get("name")
        if name:
            yield name


def _written(value: Any, case: Case, visit: Visit, dice: random.Random) -> bytes:
    """JSON as some provider would write it."""
    separators = dice.choice(((",", ":"), (", ", ": ")))
    text = json.dumps(value, ensure_ascii=dice.random() < 0.5, separators=separators)
    if "$fallback_tool" in text:
        text = text.replace("$fallback_tool", hidden_tool(case, visit) or "no-hidden-tool")
    return text.encode("utf-8", "surrogatepass")  # a case may want what is no UTF-8


def _play_whole(case: Case, visit: Visit, dice: random.Random) -> None:
    given = case.said["upstream_response"]
    body = given["raw_body"].encode() if "raw_body" in given else _written(given["body"], case, visit, dice)
    fields = dict(given.get("headers", {}))
    kind = fields.pop("content-type", "application/json")
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields.items())
    visit.whole(given["status"], body, kind, lines)


def _play_stream(case: Case, visit: Visit, dice: random.Random) -> None:
    fields = {
        "content-type": _STREAM_TYPES.get(case.upstream, "text/event-stream"),
        **case.said.get("upstream_headers", {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    visit.send(f"HTTP/1.1 200 OK\r\n{lines}transfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode())
    waiting = b""  # what may be cut anywhere, events' ends included
    for item in case.said["upstream_stream"]:
        if "event" in item or "data" in item or "comment" in item:
            waiting += _event(item, case, visit, dice)
            continue
        _send_cut(visit, waiting, dice)
        waiting = b""
        if "raw_b64_parts" in item:
            for part in item["raw_b64_parts"]:
                visit.pieces(base64.b64decode(part))
                time.sleep(_PAUSE_S)
        elif "delay_ms" in item:
            time.sleep(item["delay_ms"] / 1000)
        else:
            assert item == {"abort": True}, item
            time.sleep(_BEFORE_RESET_S)
            visit.reset()
            return
    _send_cut(visit, waiting, dice)
    visit.end()


def _event(item: dict[str, Any], case: Case, visit: Visit, dice: random.Random) -> bytes:
    """An event in the upstream dialect's framing."""
    if case.upstream == "bedrock":
        return _message(item, case, visit, dice)
    end = _LINE_ENDS.get(case.upstream, "\n").encode()
    if "comment" in item:
        return b":" + item["comment"].encode() + end + end
    data = item["data"].encode() if isinstance(item["data"], str) else _written(item["data"], case, visit, dice)
    name = b"" if "event" not in item else b"event: " + item["event"].encode() + end
    return name + b"data: " + data + end + end


def _message(item: dict[str, Any], case: Case, visit: Visit, dice: random.Random) -> bytes:
    """An event, or an exception, in Amazon's binary framing."""
    data = item["data"].encode() if isinstance(item["data"], str) else _written(item["data"], case, visit, dice)
    kind = "exception" if item["event"].endswith("Exception") else "event"
    return message({f":{kind}-type": item["event"], ":content-type": "application/json", ":message-type": kind}, data)


def _send_cut(visit: Visit, data: bytes, dice: random.Random) -> None:
    """Send in pieces of random sizes, some of which travel together."""
    at, together = 0, b""
    size_max = dice.choice(_PIECE_BYTES)
    while at < len(data):
        size = dice.randint(1, size_max)
        together += chunk_of(data[at : at + size])
        at += size
        if dice.random() < 0.3:
            visit.send(together)
            together = b""
            time.sleep(_PAUSE_S if dice.random() < 0.2 else 0)
    visit.send(together)


def _parts_of(content_type: str, body: bytes) -> Iterator[tuple[str, Any]]:
    """The parts of a form: a text, or what a file is."""
    head = f"content-type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True) or b""
        if part.get_filename() is None:
            yield str(name), content.decode()
        else:
            kind = part.get_content_type()
            yield str(name), {"filename": part.get_filename(), "content_type": kind, "size": len(content)}
