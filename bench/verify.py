"""Before anything is measured: does the system relay whole answers and whole streams?"""

import http.client
import json
import time

from bench.calls import MESSAGES_PATH, chat_body, messages_body
from bench.figures import SAME_DIALECT, TRANSLATIONS
from bench.plans import STAMP_DIGITS
from bench.systems import ANTHROPIC_MODEL, GEMINI_MODEL, MODEL, System

CHUNKS = 20
TIMEOUT_S = 30.0
OPENAI_PATH = "/v1/chat/completions"
# Where a load goes so that client and provider speak the dialects that the name says.
ROUTES = {
    SAME_DIALECT: {"path": OPENAI_PATH, "model": MODEL},
    TRANSLATIONS[0]: {"path": OPENAI_PATH, "model": ANTHROPIC_MODEL},
    TRANSLATIONS[1]: {"path": OPENAI_PATH, "model": GEMINI_MODEL},
    TRANSLATIONS[2]: {"path": MESSAGES_PATH, "model": MODEL},
}


class NotRelayed(Exception):
    """An answer came back changed, cut or refused."""


def post(system: System, *, streams: bool, path: str = "", model: str = "") -> bytes:
    """Send one call through the system; return the body of a 200."""
    pace = {"bench_chunks": CHUNKS, "bench_interval_us": 1000}
    path, model = path or system.path, model or system.model
    if path == MESSAGES_PATH:
        body = messages_body(1024, model, pace)
    else:
        body = chat_body(1024, model, pace, streams=streams)
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != http.client.OK:
        raise NotRelayed(f"{system.name} answers {answer.status}: {text[:600]!r}")
    return text


def verify(system: System) -> None:
    """Check one plain answer and one stream: every chunk, the usage and the end."""
    answer = json.loads(post(system, streams=False))
    if not answer["choices"][0]["message"]["content"] or answer["usage"]["total_tokens"] <= 0:
        raise NotRelayed(f"{system.name} changed the answer: {answer}")
    lines = post(system, streams=True).split(b"\n\n")
    events = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    if not events or events[-1] != b"[DONE]":
        raise NotRelayed(f"{system.name} did not end the stream: {events[-1:]}")
    chunks = [json.loads(event) for event in events[:-1]]
    texts = [chunk for chunk in chunks if chunk["choices"]]
    if len(texts) != CHUNKS + 2 or not chunks[-1].get("usage"):
        raise NotRelayed(f"{system.name} relayed {len(texts)} chunks of {CHUNKS + 2}, or no usage")


def verify_translations(system: System) -> None:
    """Check that each way of a translation gives every content event, as one event of the client's dialect."""
    for name, where in ROUTES.items():
        stream = post(system, streams=True, **where)
        text = b"0" * STAMP_DIGITS
        events = [event for event in stream.split(b"\n\n") if text in event]
        end = b'"type":"message_stop"' if where["path"] == MESSAGES_PATH else b"[DONE]"
        if len(events) != CHUNKS or end not in stream[-100:]:
            raise NotRelayed(f"{name}: {len(events)} content events of {CHUNKS}, or no end: {stream[-300:]!r}")


def first_answer_s(system: System, timeout_s: float) -> float:
    """Seconds from the start of the system's process to its first whole answer."""
    limit_s = time.monotonic() + timeout_s
    while True:
        try:
            post(system, streams=False)
            return time.monotonic() - system.begun_s
        except (NotRelayed, OSError, http.client.HTTPException):
            if time.monotonic() > limit_s:
                raise
            time.sleep(0.001)
