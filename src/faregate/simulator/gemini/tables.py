"""What may stand where in the body of a generateContent or an embedContent: protocol buffers as JSON, so both spellings
of a name will do and null is the same as nothing. Source: ai.google.dev, "Generating content" and "Embeddings"
(v1beta); protobuf.dev, "ProtoJSON Format"."""

import base64
import binascii
import re
from typing import Any

from ..checked import Check, Complaint, Path, Place, Words, anything, flag, many, mapping, members, number, text
from ..refused import Refused

_SNAKE = re.compile(r"_([a-z0-9])")
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_PROTO_TYPES = {
    "string": "TYPE_STRING",
    "boolean": "TYPE_BOOL",
    "integer": "TYPE_INT32",
    "number": "TYPE_FLOAT",
    "bytes": "TYPE_BYTES",
}


def camel(name: str) -> str:
    """A member's name as the tables have it."""
    return _SNAKE.sub(lambda found: found.group(1).upper(), name)


def snake(name: str) -> str:
    """A member's name as errors have it."""
    return _CAMEL.sub(lambda found: f"_{found.group(1).lower()}", name)


def dotted(path: Path) -> str:
    """A place as errors have it, `contents[0].parts[1]`."""
    said = ""
    for step in path:
        said += f"[{step}]" if isinstance(step, int) else f".{snake(step)}" if said else snake(step)
    return said


def words_of(message: str) -> Words:
    """How Google complains of a message of that name."""

    def words(complaint: Complaint, path: Path, detail: str, value: Any) -> Refused:
        if complaint in ("unknown", "type"):
            return _unreadable(complaint, path, detail, value)
        said = f"{snake(str(path[-1]))} is not specified" if complaint == "missing" else f"must be {detail}"
        return Refused(f"* {message}.{dotted(path)}: {said}\n")

    return words


words = words_of("GenerateContentRequest")


def _unreadable(complaint: Complaint, path: Path, detail: str, value: Any) -> Refused:
    """What cannot be read is complained of in the same words, whatever the message."""
    if complaint == "unknown":
        place, name = dotted(path[:-1]), path[-1]
        at = f" at '{place}'" if place else ""
        said = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
        return Refused(said, details=[_violation(place, said)])
    said = f"Invalid value at '{dotted(path)}' ({_PROTO_TYPES.get(detail, detail)}), {_shown(value)}"
    return Refused(said, details=[_violation(dotted(path), said)])


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _violation(place: str, said: str) -> dict[str, Any]:
    violation = {"field": place, "description": said}
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}


def _message(required: dict[str, Check], optional: dict[str, Check]) -> Check:
    return members(required, optional, spelled=camel, nulls=True)


def _enum(name: str, *values: str) -> Check:
    def check(value: Any, place: Place) -> str:
        if not isinstance(value, str) or value.upper() not in values:
            kind = f"type.googleapis.com/google.ai.generativelanguage.v1beta.{name}"
            raise place.refuse("type", kind, value)
        return value.upper()

    return check


def _whole(low: int | None = None, high: int | None = None) -> Check:
    inner = number(low, high, whole=True)

    def check(value: Any, place: Place) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
            value = int(value)
        return inner(value, place)

    return check


def _bytes(value: Any, place: Place) -> str:
    try:
        base64.b64decode(text(value, place).replace("-", "+").replace("_", "/") + "==", validate=False)
    except (binascii.Error, ValueError):
        raise Refused(
            f"Invalid value at '{dotted(place.path)}' (TYPE_BYTES), Base64 decoding failed for \"{value[:40]}\""
        ) from None
    return value


_TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")


def _schema(value: Any, place: Place) -> dict[str, Any]:
    """The subset of OpenAPI's schemas; JSON Schema's other members are unknown names."""
    schema = _SCHEMA(value, place)
    if schema.get("type") == "STRING" and schema.get("format") not in (None, "enum", "date-time"):
        at = dotted(place.at("format").path)
        raise Refused(f"* GenerateContentRequest.{at}: only 'enum' and 'date-time' are supported for STRING type\n")
    if schema.get("type") == "ARRAY" and "items" not in schema:
        raise Refused(f"* GenerateContentRequest.{dotted(place.at('items').path)}: missing field.\n")
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}):
            raise Refused(f"* GenerateContentRequest.{dotted(place.at('required').path)}: property is not defined\n")
    return schema


def _schemas(value: Any, place: Place) -> dict[str, Any]:
    return {name: _schema(inner, place.at(name)) for name, inner in mapping(value, place).items()}


_SCHEMA = _message(
    {},
    {
        "type": _enum("Type", *_TYPES),
        **dict.fromkeys(("format", "title", "description", "pattern"), text),
        "nullable": flag,
        "enum": many(text),
        **dict.fromkeys(
            ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"), _whole(0)
        ),
        "minimum": number(),
        "maximum": number(),
        "items": _schema,
        "properties": _schemas,
        "required": many(text),
        "propertyOrdering": many(text),
        "anyOf": many(_schema),
        "default": anything,
        "example": anything,
    },
)
_BLOB = _message({"mimeType": text, "data": _bytes}, {"displayName": text})
_FILE = _message({"fileUri": text}, {"mimeType": text, "displayName": text})
_CALL = _message({"name": text}, {"id": text, "args": mapping})
_RESULT_PART = _message({}, {"inlineData": _BLOB, "fileData": _FILE})
_RESULT = _message(
    {"name": text, "response": mapping},
    {"id": text, "parts": many(_RESULT_PART), "willContinue": flag, "scheduling": text},
)
DATA: dict[str, Check] = {
    "text": text,
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": _CALL,
    "functionResponse": _RESULT,
    "executableCode": mapping,
    "codeExecutionResult": mapping,
    "toolCall": mapping,
    "toolResponse": mapping,
}
_PART_MEMBERS = _message(
    {},
    {
        **DATA,
        "thought": flag,
        "thoughtSignature": _bytes,
        "videoMetadata": mapping,
        "mediaResolution": anything,
        "partMetadata": mapping,
    },
)


def _part(value: Any, place: Place) -> dict[str, Any]:
    part = _PART_MEMBERS(value, place)
    said = [name for name in part if name in DATA]
    if len(said) > 1:
        raise Refused(
            f"Invalid value at '{dotted(place.path)}' (oneof), oneof field 'data' is already set."
            f" Cannot set '{said[1]}'"
        )
    if not said and "thoughtSignature" not in part:
        raise Refused(
            f"* GenerateContentRequest.{dotted(place.path)}.data: required oneof field 'data' must have one"
            " initialized field\n"
        )
    return part


_CONTENT = _message({}, {"role": text, "parts": many(_part)})
_DECLARATION = _message(
    {"name": text},
    {
        "description": text,
        "parameters": _schema,
        "parametersJsonSchema": anything,
        "response": _schema,
        "responseJsonSchema": anything,
        "behavior": text,
    },
)
_PROVIDERS_TOOLS = (
    *("googleSearch", "googleSearchRetrieval", "codeExecution"),
    *("urlContext", "googleMaps", "fileSearch", "computerUse"),
)
_TOOL = _message({}, {"functionDeclarations": many(_DECLARATION), **dict.fromkeys(_PROVIDERS_TOOLS, mapping)})
_CALLING = _message(
    {},
    {
        "mode": _enum("FunctionCallingConfig.Mode", "MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"),
        "allowedFunctionNames": many(text),
    },
)
_THINKING = _message(
    {},
    {
        "includeThoughts": flag,
        "thinkingBudget": _whole(-1),
        "thinkingLevel": _enum(
            "ThinkingLevel", "THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"
        ),
    },
)
_GENERATION = _message(
    {},
    {
        "candidateCount": _whole(1, 8),
        "stopSequences": many(text, most=5),
        "maxOutputTokens": _whole(1),
        "temperature": number(0, 2),
        "topP": number(0, 1),
        "topK": _whole(0),
        "seed": _whole(-(2**31), 2**31 - 1),
        "presencePenalty": number(-2, 2),
        "frequencyPenalty": number(-2, 2),
        "responseLogprobs": flag,
        "logprobs": _whole(0, 20),
        "responseMimeType": text,
        "responseSchema": _schema,
        "responseJsonSchema": anything,
        "responseModalities": many(_enum("Modality", "MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO")),
        "speechConfig": mapping,
        "imageConfig": mapping,
        "mediaResolution": text,
        "enableEnhancedCivicAnswers": flag,
        "thinkingConfig": _THINKING,
    },
)
BODY = _message(
    {"contents": many(_CONTENT)},
    {
        "model": text,
        "systemInstruction": _CONTENT,
        "tools": many(_TOOL),
        "toolConfig": _message({}, {"functionCallingConfig": _CALLING, "retrievalConfig": mapping}),
        "generationConfig": _GENERATION,
        "safetySettings": many(_message({}, {"category": text, "threshold": text, "method": text})),
        "cachedContent": text,
        "serviceTier": text,
        "store": flag,
        "simulator": anything,
    },
)
COUNTED = _message(
    {}, {"contents": many(_CONTENT), "model": text, "generateContentRequest": BODY, "simulator": anything}
)
_TASKS = (
    *("TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION"),
    *("CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY"),
)
_EMBEDDING: dict[str, Check] = {
    "taskType": _enum("TaskType", *_TASKS),
    "title": text,
    "outputDimensionality": _whole(),
}
_EMBEDDED_PART = _message({}, {"text": text, "inlineData": _BLOB, "fileData": _FILE})
_EMBEDDED_MEMBERS: dict[str, Check] = {
    "model": text,
    **_EMBEDDING,
    "embedContentConfig": _message(
        {}, {**_EMBEDDING, **dict.fromkeys(("autoTruncate", "documentOcr", "audioTrackExtraction"), flag)}
    ),
}
_EMBEDDED_CONTENT = {"content": _message({}, {"role": text, "parts": many(_EMBEDDED_PART)})}
EMBEDDED = _message(_EMBEDDED_CONTENT, {**_EMBEDDED_MEMBERS, "simulator": anything})
EMBEDDED_BATCH = _message(
    {}, {"requests": many(_message(_EMBEDDED_CONTENT, _EMBEDDED_MEMBERS)), "model": text, "simulator": anything}
)
