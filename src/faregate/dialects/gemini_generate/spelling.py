"""Two spellings of a name. Proto JSON takes every field of a request in camelCase and in snake_case (conformance.md
1.11); what is inside arguments, responses, schemas and labels is the client's own and stays as it is."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ...core.errors import MalformedRequest
from ..bodies import decode, members_decoder

# The end of a name, from its first underscore: to look for what is rare is quick. It is bounded, or a text of
# nothing but underscores would be gone through from each of them to its end.
_TAIL = re.compile(rb'(_[a-z0-9_]{1,40}+)"\s*+:')
_BACKSLASH = b"\\"[0]
# A name in which a character is written as its number; ours have at most 40, of which each takes six bytes.
_ESCAPED_NAME = re.compile(rb'"[a-z0-9_]{0,40}+\\u00(?:[a-zA-Z0-9_]|\\u00){0,240}+"\s*+:')
_CAPITAL = re.compile(r"[A-Z]")
_UNDERSCORE = re.compile(r"_([a-z0-9])")
_LIST, _OBJECT = b"["[0], b"{"[0]
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])

# What the fields of a message hold: None for a plain value or what is not ours, a table for a message or a list of it.
Shape = Mapping[str, Any]

_BLOB = {"mimeType": None, "data": None, "displayName": None}
_FILE = {"mimeType": None, "fileUri": None, "displayName": None}
_PART: Shape = {
    "text": None,
    "thought": None,
    "thoughtSignature": None,
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": {"id": None, "name": None, "args": None},
    "functionResponse": {
        "id": None,
        "name": None,
        "response": None,
        "willContinue": None,
        "scheduling": None,
        "parts": {"inlineData": _BLOB, "fileData": _FILE},
    },
    "executableCode": {"id": None, "language": None, "code": None},
    "codeExecutionResult": {"id": None, "outcome": None, "output": None},
    "toolCall": None,
    "toolResponse": None,
    "videoMetadata": {"startOffset": None, "endOffset": None, "fps": None},
    "mediaResolution": None,
}
_CONTENT: Shape = {"role": None, "parts": _PART}
_FUNCTION: Shape = {
    "name": None,
    "description": None,
    "behavior": None,
    "parameters": None,
    "parametersJsonSchema": None,
    "response": None,
    "responseJsonSchema": None,
}
_TOOL: Shape = {
    "functionDeclarations": _FUNCTION,
    "googleSearch": None,
    "googleSearchRetrieval": None,
    "codeExecution": None,
    "urlContext": None,
    "googleMaps": None,
    "computerUse": None,
    "fileSearch": None,
    "mcpServers": None,
    "enterpriseWebSearch": None,
}
_GENERATION: Shape = {
    "stopSequences": None,
    "responseMimeType": None,
    "responseSchema": None,
    "responseJsonSchema": None,
    "responseFormat": None,
    "responseModalities": None,
    "candidateCount": None,
    "maxOutputTokens": None,
    "temperature": None,
    "topP": None,
    "topK": None,
    "seed": None,
    "presencePenalty": None,
    "frequencyPenalty": None,
    "responseLogprobs": None,
    "logprobs": None,
    "enableEnhancedCivicAnswers": None,
    "speechConfig": None,
    "thinkingConfig": {"includeThoughts": None, "thinkingBudget": None, "thinkingLevel": None},
    "imageConfig": None,
    "mediaResolution": None,
    "audioTimestamp": None,
    "routingConfig": None,
    "modelSelectionConfig": None,
}
_REQUEST: dict[str, Any] = {
    "model": None,
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "tools": _TOOL,
    "toolConfig": {
        "functionCallingConfig": {
            "mode": None,
            "allowedFunctionNames": None,
            "streamFunctionCallArguments": None,
        },
        "retrievalConfig": None,
        "includeServerSideToolInvocations": None,
    },
    "safetySettings": None,
    "generationConfig": _GENERATION,
    "cachedContent": None,
    "labels": None,
    "serviceTier": None,
    "store": None,
}
REQUEST: Shape = _REQUEST | {"generateContentRequest": _REQUEST}  # the last: only where tokens are counted


def camel(name: str) -> str:
    """A name of a field in camelCase."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name)


def _snake(shape: Shape) -> Iterator[str]:
    """The names of the fields of a shape, and of those in it, that are others in snake_case."""
    for name, inner in shape.items():
        if _CAPITAL.search(name):
            yield _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)
        if inner is not None:
            yield from _snake(inner)


_TAILS = {name[name.index("_") :].encode() for name in _snake(REQUEST)}


def respelled(body: bytes) -> bytes:
    """A request with its fields in camelCase, all else as it came. MalformedRequest where a field is given in both
    spellings."""
    if _TAILS.isdisjoint(_TAIL.findall(body)) and not _has_escaped_name(body):
        return body
    return bytes(_respelled(msgspec.Raw(body.strip()), REQUEST, ""))


def _has_escaped_name(body: bytes) -> bool:
    return _BACKSLASH in body and body.find(b"\\u00") >= 0 and _ESCAPED_NAME.search(body) is not None


def _respelled(raw: msgspec.Raw, shape: Shape, path: str) -> msgspec.Raw:
    if memoryview(raw)[0] != _LIST:
        return _respelled_object(raw, shape, path)
    items = decode(_list_decoder, raw, path)
    return _encoded([_respelled_object(item, shape, f"{path}[{index}]") for index, item in enumerate(items)])


def _respelled_object(raw: msgspec.Raw, shape: Shape, path: str) -> msgspec.Raw:
    if memoryview(raw)[0] != _OBJECT:
        return raw  # of no message: whoever reads it says what is wrong with it
    found: dict[str, msgspec.Raw] = {}
    for name, value in decode(members_decoder, raw, path).items():
        spelled = camel(name)
        if spelled not in shape:
            spelled = name
        within = f"{path}.{spelled}" if path else spelled
        if spelled in found:
            raise MalformedRequest(f"'{within}' is given twice.", param=within)
        inner = shape.get(spelled)
        found[spelled] = value if inner is None else _respelled(value, inner, within)
    return _encoded(found)


def _encoded(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
