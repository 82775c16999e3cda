"""What may stand where in a Converse body. Source: Amazon Bedrock API Reference, Converse. The service itself lets pass
what it does not know; here it is refused, so that mistakes are noticed."""

import base64
import binascii
import re
from typing import Any

from ..checked import Check, Complaint, Path, Place, anything, flag, many, mapping, members, number, one_of, text
from ..refused import Refused

_CALL_ID = r"[a-zA-Z0-9_.:-]{1,64}"
_TOOL_NAME = r"[a-zA-Z0-9_-]{1,64}"
_DOCUMENT_NAME = re.compile(r"(?! )[A-Za-z0-9()\[\] -]{1,200}\Z")


def words(complaint: Complaint, path: Path, detail: str, value: Any) -> Refused:
    """A complaint as AWS's services have it."""
    at = ".".join(f"{step + 1}.member" if isinstance(step, int) else str(step) for step in path)
    if complaint == "type":
        return Refused(f"Unexpected field type at '{at}': expected {detail}")
    said = {
        "missing": "Member must not be null",
        "unknown": "Member is not known",
        "value": f"Member must satisfy: {detail}",
    }[complaint]
    return Refused(f"1 validation error detected: Value '{value}' at '{at}' failed to satisfy constraint: {said}")


def _fits(pattern: str) -> Check:
    def check(value: Any, place: Place) -> str:
        if not re.fullmatch(pattern, text(value, place)):
            raise place.refuse("value", f"regular expression pattern: {pattern}", value)
        return value

    return check


def _filled(value: Any, place: Place) -> str:
    if not text(value, place):
        raise place.refuse("value", "length greater than or equal to 1", value)
    return value


def _bytes(value: Any, place: Place) -> str:
    try:
        data = base64.b64decode(text(value, place), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("Unexpected field type: expected base64 of bytes") from None
    if not data:
        raise place.refuse("value", "length greater than or equal to 1", value)
    return value


def _union(kinds: dict[str, Check]) -> Check:
    inner = members({}, kinds)

    def check(value: Any, place: Place) -> dict[str, Any]:
        found = inner(value, place)
        if len(found) != 1:
            raise place.refuse("value", "exactly one member of the union", sorted(found))
        return found

    return check


def _name(value: Any, place: Place) -> str:
    if not _DOCUMENT_NAME.match(text(value, place)) or "  " in value:
        raise Refused(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens,"
            " parentheses, and square brackets. The name can't contain more than one consecutive whitespace character."
        )
    return value


_S3 = members({"uri": _fits(r"s3://.+")}, {"bucketOwner": text})
_SOURCE = _union({"bytes": _bytes, "s3Location": _S3})
_IMAGE = members({"format": one_of("png", "jpeg", "gif", "webp"), "source": _SOURCE}, {})
_DOCUMENT = members(
    {
        "name": _name,
        "source": _union({"bytes": _bytes, "s3Location": _S3, "text": text, "content": many(_union({"text": text}))}),
    },
    {
        "format": one_of("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"),
        "context": text,
        "citations": members({"enabled": flag}, {}),
    },
)
_VIDEO = members(
    {
        "format": one_of("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"),
        "source": _SOURCE,
    },
    {},
)
_AUDIO_FORMATS = ("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "mpeg", "pcm", "webm")
_AUDIO = members({"format": one_of(*_AUDIO_FORMATS), "source": _SOURCE}, {})
_CACHE = members({"type": one_of("default")}, {"ttl": one_of("5m", "1h")})
_CALL = members(
    {"toolUseId": _fits(_CALL_ID), "name": _fits(_TOOL_NAME), "input": mapping}, {"type": one_of("server_tool_use")}
)
_RESULT = members(
    {
        "toolUseId": _fits(_CALL_ID),
        "content": many(
            _union({"text": text, "json": mapping, "image": _IMAGE, "document": _DOCUMENT, "video": _VIDEO})
        ),
    },
    {"status": one_of("success", "error"), "type": text},
)
_REASONING = _union({"reasoningText": members({"text": text}, {"signature": text}), "redactedContent": _bytes})
_GUARDED = _union({"text": members({"text": text}, {"qualifiers": many(text)}), "image": mapping})
_BLOCK = _union(
    {
        "text": text,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "video": _VIDEO,
        "audio": _AUDIO,
        "toolUse": _CALL,
        "toolResult": _RESULT,
        "guardContent": _GUARDED,
        "cachePoint": _CACHE,
        "reasoningContent": _REASONING,
        "citationsContent": mapping,
        "searchResult": mapping,
    }
)
_MESSAGE = members({"role": one_of("user", "assistant"), "content": many(_BLOCK)}, {})
_SPEC = members(
    {"name": _fits(_TOOL_NAME), "inputSchema": _union({"json": mapping})}, {"description": _filled, "strict": flag}
)
_TOOLS = many(_union({"toolSpec": _SPEC, "systemTool": members({"name": text}, {}), "cachePoint": _CACHE}), least=1)
_CHOICE = _union({"auto": members({}, {}), "any": members({}, {}), "tool": members({"name": _fits(_TOOL_NAME)}, {})})
_SCHEMA = members({"schema": text}, {"name": text, "description": text})
_FORMAT = members({"type": one_of("json_schema"), "structure": _union({"jsonSchema": _SCHEMA})}, {})

BODY = members(
    {"messages": many(_MESSAGE)},
    {
        "system": many(_union({"text": _filled, "guardContent": _GUARDED, "cachePoint": _CACHE})),
        "inferenceConfig": members(
            {},
            {
                "maxTokens": number(1, whole=True),
                "temperature": number(0, 1),
                "topP": number(0, 1),
                "stopSequences": many(_filled, most=2500),
            },
        ),
        "toolConfig": members({"tools": _TOOLS}, {"toolChoice": _CHOICE}),
        "guardrailConfig": members(
            {}, {"guardrailIdentifier": text, "guardrailVersion": text, "trace": text, "streamProcessingMode": text}
        ),
        "additionalModelRequestFields": mapping,
        "additionalModelResponseFieldPaths": many(text, most=10),
        "promptVariables": mapping,
        "requestMetadata": mapping,
        "performanceConfig": members({}, {"latency": one_of("standard", "optimized")}),
        "serviceTier": members({"type": one_of("priority", "default", "flex", "reserved")}, {}),
        "outputConfig": members({}, {"textFormat": _FORMAT, "effort": text}),
        "simulator": anything,
    },
)
