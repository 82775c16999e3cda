"""Gemini on Google's Vertex AI: AI Studio's wire under a project's paths, with a bearer token, and stricter.

Sources: Google Cloud, "Vertex AI API", v1 and v1beta1; google-genai, what it leaves out for Vertex. Each content has a
role; calls have no ids in v1; what AI Studio alone has is unknown; countTokens takes instructions and tools beside the
contents; `labels` are taken.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import msgspec

from . import gemini
from .answer import Answer
from .framing import Frame
from .gemini import request, shapes
from .refused import Refused
from .wires import Asked, Call, Headers, Wire, bearer

PATH = re.compile(
    r"/(v1|v1beta1)/projects/[^/]+/locations/[^/]+/publishers/google/models/([^/:]+)"
    r":(generateContent|streamGenerateContent|countTokens)"
)
_BESIDE = frozenset({"contents", "systemInstruction", "tools", "generationConfig", "model", "simulator"})
_UNKNOWN_PARTS = ("toolCall", "toolResponse", "partMetadata")


def call_at(path: str) -> tuple[Wire, Call] | None:
    """The wire at a path, and what the path says."""
    found = PATH.fullmatch(path)
    if found is None:
        return None
    version, model, verb = found.groups()
    operation: Literal["answer", "count"] = "count" if verb == "countTokens" else "answer"
    return WIRE, Call(operation=operation, model=model, stream=verb == "streamGenerateContent", version=version)


def _authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The token; a key will not do."""
    if bearer(headers) is None:
        said = "Request is missing required authentication credential. Expected OAuth 2 access token."
        raise Refused(said, status=401)
    return "Authorization", headers[b"authorization"].decode("latin-1")


def _read(data: bytes, call: Call) -> Asked:
    try:
        sent = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return request.read(data, call)
    if not isinstance(sent, dict):
        return request.read(data, call)
    if call.operation == "count":
        for name in sent:
            if name not in _BESIDE:
                raise _unknown(name)
        sent = {"generateContentRequest": sent}
    elif not isinstance(sent.pop("labels", {}), dict):
        raise Refused("Invalid value at 'labels'")
    asked = request.read(msgspec.json.encode(sent), call)
    _check(asked.body, call)
    return replace(asked, body={**asked.body, "version": call.version})


def _check(body: dict[str, Any], call: Call) -> None:
    for name in ("store", "generateContentRequest"):
        if name in body:
            raise _unknown(name)
    if "enableEnhancedCivicAnswers" in body.get("generationConfig", {}):
        raise _unknown("enableEnhancedCivicAnswers", "generation_config")
    for index, tool in enumerate(body.get("tools", ())):
        if "fileSearch" in tool:
            raise _unknown("fileSearch", f"tools[{index}]")
    for index, content in enumerate(body["contents"]):
        if not content.get("role"):
            raise Refused("Please use a valid role: user, model.")
        for number, part in enumerate(content.get("parts", ())):
            _check_part(part, f"contents[{index}].parts[{number}]", call)


def _check_part(part: dict[str, Any], place: str, call: Call) -> None:
    for name in _UNKNOWN_PARTS:
        if name in part:
            raise _unknown(name, place)
    for name, said in (("functionCall", "function_call"), ("functionResponse", "function_response")):
        if call.version == "v1" and "id" in part.get(name, {}):
            raise _unknown("id", f"{place}.{said}")


def _unknown(name: str, place: str = "") -> Refused:
    at = f" at '{place}'" if place else ""
    return Refused(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')


def _whole(asked: Asked, answer: Answer) -> Any:
    return _without_ids(asked, shapes.whole(asked, answer))


def _frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    for frame in shapes.frames(asked, answer):
        if b'"functionCall"' in frame.data:
            yield frame._replace(data=msgspec.json.encode(_without_ids(asked, msgspec.json.decode(frame.data))))
        else:
            yield frame


def _without_ids(asked: Asked, said: dict[str, Any]) -> dict[str, Any]:
    if asked.body["version"] == "v1":
        for candidate in said["candidates"]:
            for part in candidate["content"].get("parts", ()):
                part.get("functionCall", {}).pop("id", None)
    return said


WIRE = replace(gemini.WIRE, name="vertex", authorize=_authorize, read=_read, whole=_whole, frames=_frames, models=None)
