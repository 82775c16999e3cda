"""What the mock provider answers: canned bytes, and a stream's pace as the request body says it.

The pace stands in the body as members or in the text of a message (`bench_chunks=64
bench_interval_us=1000`), so that it survives gateways that drop or refuse unknown members.
"""

import re
from dataclasses import dataclass

from bench.streams import anthropic_stream, dumps, gemini_stream, http_chunk

TICK_NS = 1_000_000  # the upstream's timer: a stream's interval is a whole number of these
CHUNKS_DEFAULT = 64
INTERVAL_US_DEFAULT = 10_000
STAMP_DIGITS = 16
STAMP_MARK = b'"content":"'
OPENAI_PATH = b"/chat/completions"
ANTHROPIC_PATH = b"/messages"
GEMINI_VERB = b":streamGenerateContent"

_CHUNKS = re.compile(rb"bench_chunks\W+(\d+)")
_INTERVAL = re.compile(rb"bench_interval_us\W+(\d+)")
_STAMPED = re.compile(rb"bench_stamp")
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'include_usage"\s*:\s*true')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')

_HEADERS = (
    b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\nopenai-organization: bench\r\n"
    b"openai-processing-ms: 3\r\nopenai-version: 2020-10-01\r\nx-request-id: req_bench\r\n"
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n"
)
_USAGE_MEMBERS = {
    "prompt_tokens": 250,
    "completion_tokens": 120,
    "total_tokens": 370,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


@dataclass(slots=True)
class Plan:
    """What a request body asks for: a canned answer, or a stream and its pace."""

    answer: bytes
    streams: bool = False
    chunks: int = 0
    interval_ticks: int = 0
    floods: bool = False
    stamped: bool = False
    first: bytes = b""
    chunk: bytes = b""
    last: bytes = b""


def http_answer(status: bytes, body: bytes) -> bytes:
    """A whole HTTP answer with a length."""
    head = b"HTTP/1.1 %s\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, _HEADERS, len(body)) + body


def completion(model: str) -> bytes:
    """A chat.completion of about 1 KB."""
    return dumps(
        {
            "id": "chatcmpl-bench0123456789abcdefghij",
            "object": "chat.completion",
            "created": 1767225600,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "A sentence of an answer, of no meaning. " * 9,
                        "refusal": None,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _USAGE_MEMBERS,
            "service_tier": "default",
            "system_fingerprint": "fp_bench00000",
        }
    )


def completion_chunk(model: str, choices: list[object], usage: object = ...) -> bytes:
    """A chat.completion.chunk; `usage` is left out where it is not given."""
    members: dict[str, object] = {
        "id": "chatcmpl-bench0123456789abcdefghij",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_bench00000",
        "choices": choices,
    }
    if usage is not ...:
        members["usage"] = usage
    return dumps(members)


def delta(content: object, finish_reason: str | None = None) -> list[object]:
    """The choices of one chunk."""
    choice = {"index": 0, "delta": content, "logprobs": None, "finish_reason": finish_reason}
    return [choice]


def openai_stream(model: str, text: str, *, with_usage: bool) -> tuple[bytes, bytes, bytes]:
    """What begins a stream of chat completions, one content event, and what ends it."""
    null: object = None if with_usage else ...
    opening = delta({"role": "assistant", "content": "", "refusal": None})
    last = http_chunk(completion_chunk(model, delta({}, "stop"), null))
    if with_usage:
        last += http_chunk(completion_chunk(model, [], _USAGE_MEMBERS))
    return (
        http_chunk(completion_chunk(model, opening, null)),
        http_chunk(completion_chunk(model, delta({"content": text}), null)),
        last + http_chunk(b"[DONE]"),
    )


def plan_of(body: bytes, path: bytes = OPENAI_PATH) -> Plan:
    """Read what a call to `path` asks for; no JSON parser, the bodies are ours."""
    found = _MODEL.search(body)
    model = found.group(1).decode() if found else "bench-model"
    is_gemini = GEMINI_VERB in path
    if not is_gemini and not _STREAM.search(body):
        return Plan(http_answer(b"200 OK", completion(model)))
    chunks = _CHUNKS.search(body)
    interval = _INTERVAL.search(body)
    interval_us = int(interval.group(1)) if interval else INTERVAL_US_DEFAULT
    text = "0" * STAMP_DIGITS
    if is_gemini:
        first, chunk, last = gemini_stream(model, text)
    elif path.endswith(ANTHROPIC_PATH):
        first, chunk, last = anthropic_stream(model, text)
    else:
        first, chunk, last = openai_stream(model, text, with_usage=bool(_USAGE.search(body)))
    head = b"HTTP/1.1 200 OK\r\n%scontent-type: text/event-stream; charset=utf-8\r\n"
    return Plan(
        answer=head % _HEADERS + b"transfer-encoding: chunked\r\n\r\n",
        streams=True,
        chunks=int(chunks.group(1)) if chunks else CHUNKS_DEFAULT,
        interval_ticks=max(1, interval_us * 1000 // TICK_NS),
        floods=interval_us == 0,
        stamped=bool(_STAMPED.search(body)),
        first=first,
        chunk=chunk,
        last=last + b"0\r\n\r\n",
    )
