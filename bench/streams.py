"""What the mock provider streams in the dialects of Anthropic and Google: as many content events as in OpenAI's.

Each content event carries the same text, is one server-sent event, one HTTP chunk and one write, and has the members
that the real APIs send (platform.claude.com, streaming messages; ai.google.dev, GenerateContentResponse).
"""

import json

_START = {
    "id": "msg_bench0123456789abcdefghij",
    "type": "message",
    "role": "assistant",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {
        "input_tokens": 250,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 1,
        "service_tier": "standard",
    },
}
_GEMINI_USAGE = {
    "promptTokenCount": 250,
    "candidatesTokenCount": 120,
    "totalTokenCount": 370,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 250}],
}


def dumps(value: object) -> bytes:
    """Compact JSON, as a provider sends it."""
    return json.dumps(value, separators=(",", ":")).encode()


def http_chunk(event: bytes, kind: bytes = b"") -> bytes:
    """One server-sent event as one HTTP chunk."""
    data = (b"event: " + kind + b"\n" if kind else b"") + b"data: " + event + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def anthropic_stream(model: str, text: str) -> tuple[bytes, bytes, bytes]:
    """What begins a stream of the Messages API, one content event, and what ends it."""
    block = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": text}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    first = _named({"type": "message_start", "message": {"model": model} | _START})
    first += _named({"type": "content_block_start", "index": 0, "content_block": block})
    first += _named({"type": "ping"})
    last = _named({"type": "content_block_stop", "index": 0})
    last += _named({"type": "message_delta", "delta": end, "usage": {"output_tokens": 120}})
    last += _named({"type": "message_stop"})
    return first, _named({"type": "content_block_delta", "index": 0, "delta": delta}), last


def gemini_stream(model: str, text: str) -> tuple[bytes, bytes, bytes]:
    """What begins a stream of generateContent, one content event, and what ends it. Lines end in CRLF, as there."""
    return (
        _piece(model, {"content": {"parts": [{"text": "So"}], "role": "model"}, "index": 0}),
        _piece(model, {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}),
        _piece(model, {"finishReason": "STOP", "index": 0}),
    )


def _named(event: dict[str, object]) -> bytes:
    return http_chunk(dumps(event), str(event["type"]).encode())


def _piece(model: str, candidate: dict[str, object]) -> bytes:
    identity = {"modelVersion": model, "responseId": "bench0123456789abcdef"}
    piece = dumps({"candidates": [candidate], "usageMetadata": _GEMINI_USAGE, **identity})
    data = b"data: " + piece + b"\r\n\r\n"
    return b"%x\r\n%s\r\n" % (len(data), data)
