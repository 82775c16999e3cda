"""Azure's OpenAI: OpenAI's wires under its own paths, with its own key, and what its content filter says.

Sources: Microsoft Learn, "Azure OpenAI REST API reference", "Content filtering", "Content streaming". Under the classic
paths a dated `api-version` is needed and the deployment in the path is the model; under `/openai/v1` there is none, or
`preview`. A stream begins with an event that has no choices, no id and no model; one with an asynchronous filter has
events without a delta, the last of them after the finish: such a one is the deployment whose name ends in `-async`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from . import openai, openai_chat, responses
from .answer import Answer
from .framing import Frame
from .refused import Refused
from .wires import Asked, Call, Headers, Wire, bearer

CLASSIC = re.compile(r"/openai/deployments/([^/]+)(/chat/completions|/completions)|/openai(/responses)")
V1 = re.compile(r"/openai/v1(/chat/completions|/completions|/responses)")
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_UNDATED = ("", "v1", "preview", "latest")
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_PROMPT = {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE}]}
_NOBODY = {"id": "", "object": "", "created": 0, "model": ""}
_OFFSETS = {"check_offset": 44, "start_offset": 44, "end_offset": 198}


def call_at(path: str) -> tuple[Wire, Call] | None:
    """The wire at a path, and what the path says."""
    if found := CLASSIC.fullmatch(path):
        deployment, operation, response = found.groups()
        return _WIRES[operation or response], Call(model=deployment or "", version="classic")
    found = V1.fullmatch(path)
    return (_WIRES[found.group(1)], Call(version="v1")) if found else None


def _authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The key in its own field, or a bearer token; Refused without either."""
    if key := headers.get(b"api-key", b"").strip():
        return "api-key", key.decode("latin-1")
    if bearer(headers) is None:
        said = "Access denied due to invalid subscription key or wrong API endpoint."
        raise Refused(said, status=401, code="401")
    return "Authorization", headers[b"authorization"].decode("latin-1")


def _call(asked: Call, _headers: Headers, query: dict[str, str]) -> Call:
    """Refused under a version that the form of the path does not have."""
    version = query.get("api-version", "")
    if not (_DATED.fullmatch(version) if asked.version == "classic" else version in _UNDATED):
        raise Refused("Resource not found", status=404, code="404")
    return asked


def _on_chat(wire: Wire) -> Wire:
    """A wire of choices, with the filter's results on each."""

    def read(data: bytes, call: Call) -> Asked:
        """The deployment is the model, whatever the body calls it."""
        if call.model:
            try:
                members = msgspec.json.decode(data, type=dict[str, Any])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return wire.read(data, call)
            data = msgspec.json.encode({**members, "model": call.model})
        return wire.read(data, call)

    def whole(asked: Asked, answer: Answer) -> Any:
        said = wire.whole(asked, answer)
        choices = [{**choice, "content_filter_results": _SAFE} for choice in said["choices"]]
        return {**said, "choices": choices, **_PROMPT}

    def frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
        is_late = asked.question.model.endswith("-async")
        yield Frame(msgspec.json.encode({**_NOBODY, "choices": [], **_PROMPT}), 0, "opening")
        for frame in wire.frames(asked, answer):
            if frame.kind == "end" and is_late:
                yield _annotation()
            yield frame if is_late or frame.kind not in ("token", "finish") else _filtered(frame)

    return replace(
        wire, name=f"azure_{wire.name}", authorize=_authorize, call=_call, read=read, whole=whole, frames=frames
    )


def _filtered(frame: Frame) -> Frame:
    if not frame.data:
        return frame
    said = msgspec.json.decode(frame.data)
    choices = [{**choice, "content_filter_results": _SAFE} for choice in said["choices"]]
    return frame._replace(data=msgspec.json.encode({**said, "choices": choices}))


def _annotation() -> Frame:
    choice = {
        "index": 0,
        "finish_reason": None,
        "content_filter_results": _SAFE,
        "content_filter_offsets": _OFFSETS,
    }
    return Frame(msgspec.json.encode({**_NOBODY, "choices": [choice]}), 0, "usage")


def _error(refused: Refused, request_id: str) -> dict[str, Any]:
    """As OpenAI's; a refusal of Azure's own gateway has a code and a message."""
    if refused.code in ("401", "404"):
        return {"error": {"code": refused.code, "message": refused.message}}
    return openai.error(refused, request_id)


_WIRES = {
    "/chat/completions": replace(_on_chat(openai_chat.WIRE), error=_error),
    "/completions": replace(_on_chat(openai_chat.LEGACY_WIRE), error=_error),
    "/responses": replace(responses.WIRE, name="azure_responses", authorize=_authorize, call=_call, error=_error),
}
