"""The bytes of the requests the bench sends: to every system the same, but for port, path and key."""

import json

MESSAGES_PATH = "/v1/messages"
MESSAGE_BYTES = 2000
SENTENCE = 'He said: "the price is 4.20",\nand left.\tNobody (as far as we know) asked why. '


def chat_body(body_bytes: int, model: str, pace: dict[str, int], *, streams: bool) -> bytes:
    """A chat request of `body_bytes` bytes: many messages of about 2 KB where it is large."""
    words = " ".join(f"{name}={value}" for name, value in pace.items())
    members: dict[str, object] = {"model": model, "temperature": 0.2}
    if streams:
        members |= {"stream": True, "stream_options": {"include_usage": True}}
    messages = [
        {"role": "system", "content": "You answer briefly. " + words},
        {"role": "user", "content": ""},
    ]
    members["messages"] = messages
    text = SENTENCE * (MESSAGE_BYTES // len(SENTENCE))
    cost_bytes = len(_dumps({"role": "assistant", "content": text})) + 1
    spare_bytes = body_bytes - len(_dumps(members))
    for index in range(spare_bytes // cost_bytes):
        role = "user" if index % 2 else "assistant"
        messages.insert(1, {"role": role, "content": text})
    spare_bytes = max(0, body_bytes - len(_dumps(members)))
    filling = SENTENCE * (spare_bytes // len(SENTENCE) + 1)
    cut_bytes = min(spare_bytes, len(filling))
    while len(json.dumps(filling[:cut_bytes])) - 2 > spare_bytes:
        cut_bytes -= 1
    messages[-1]["content"] = filling[:cut_bytes]
    missing_bytes = max(0, body_bytes - len(_dumps(members)))
    messages[-1]["content"] += "." * missing_bytes
    return _dumps(members)


def messages_body(body_bytes: int, model: str, pace: dict[str, int]) -> bytes:
    """The same as a streamed request of Anthropic's Messages API."""
    members = json.loads(chat_body(body_bytes, model, pace, streams=True))
    system, *messages = members["messages"]
    del members["stream_options"]
    return _dumps(members | {"max_tokens": 1024, "system": system["content"], "messages": messages})


def http_request(port: int, path: str, key: str, body: bytes) -> bytes:
    """The request as an OpenAI SDK for Python sends it."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "Accept: application/json",
        "Content-Type: application/json",
        "User-Agent: OpenAI/Python 2.8.1",
        "X-Stainless-Lang: python",
        "X-Stainless-Package-Version: 2.8.1",
        "X-Stainless-OS: Linux",
        "X-Stainless-Arch: x64",
        "X-Stainless-Runtime: CPython",
        "X-Stainless-Runtime-Version: 3.11.7",
        "Authorization: Bearer " + key,
        "X-Stainless-Async: async:asyncio",
        "x-stainless-retry-count: 0",
        "x-stainless-read-timeout: 600",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
