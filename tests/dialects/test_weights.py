"""What a body weighs does not depend on how its JSON is spelled, nor on what is wrong with another part of it."""

import json
import time
from typing import Any

import pytest

from faregate.core.chat import ChatRequest
from faregate.core.errors import MalformedRequest
from faregate.dialects import NOWHERE, Asked
from faregate.dialects.anthropic_messages import request as anthropic
from faregate.dialects.gemini_generate import request as gemini
from faregate.dialects.openai_chat import request as chat
from faregate.dialects.openai_responses import request as responses

Body = dict[str, Any]


GENERATE = Asked("m:generateContent")


def turn(*parts: object) -> list[Body]:
    return [{"role": "user", "content": parts}]


ELSEWHERE: dict[str, tuple[Any, Body]] = {
    "chat": (chat, {"messages": turn({"type": "file", "file": {"file_id": "f"}})}),
    "responses": (responses, {"input": turn({"type": "input_file", "file_id": "f"})}),
    "messages": (
        anthropic,
        {"max_tokens": 1, "messages": turn({"type": "document", "source": {"type": "file", "file_id": "f"}})},
    ),
    "a result": (
        anthropic,
        {
            "max_tokens": 1,
            "messages": turn(
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "document", "source": {"type": "url", "url": "https://x"}}],
                }
            ),
        },
    ),
}


def read(dialect: Any, body: Body) -> ChatRequest:
    return dialect.parse_request(json.dumps({"model": "m", **body}).encode())


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_file_by_its_id_is_seen_however_it_is_spelled(name: str) -> None:
    dialect, body = ELSEWHERE[name]
    assert read(dialect, body).is_open
    spelled = json.dumps({"model": "m", **body})
    for word in ("file", "input_file", "document", "source", "file_id", "url"):
        spelled = spelled.replace(f'"{word}"', f'"\\u{ord(word[0]):04x}{word[1:]}"')
    assert '"\\u00' in spelled
    assert dialect.parse_request(spelled.encode()).is_open


def test_a_part_that_is_none_hides_no_other() -> None:
    inner = ["no part", {"type": 5}, {"type": "input_file", "file_id": "f"}]
    item = {"type": "function_call_output", "call_id": "c", "output": inner}
    assert read(responses, {"input": [item]}).is_open
    blocks = [None, {"type": 5}, {"type": "document", "source": {"type": "file", "file_id": "f"}}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": blocks}
    assert read(anthropic, {"max_tokens": 1, "messages": turn(result)}).is_open


def test_what_is_seen_is_what_stands_where_a_picture_does() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert read(chat, {"messages": turn(picture)}).has_images
    told = {"type": "function", "function": {"name": "a", "parameters": {"default": picture}}}
    words = read(chat, {"messages": turn({"type": "text", "text": "hi"}), "tools": [told]})
    assert (words.has_images, words.images) == (False, 0)
    seen = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [seen]}
    assert read(anthropic, {"max_tokens": 1, "messages": turn(result)}).has_images
    screen = {"type": "computer_screenshot", "image_url": "data:image/png;base64," + "A" * 10_000}
    shot = read(responses, {"input": [{"type": "computer_call_output", "call_id": "c", "output": screen}]})
    assert (shot.images, shot.has_images) == (1, True)
    assert shot.text_bytes < 1_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "https://x/y.mp3", "format": "mp3"}},
        {"type": "input_audio", "input_audio": "https://x/y.mp3"},
        {"type": "file", "file": {"filename": "y.pdf", "file_data": "https://x/y.pdf"}},
        {"type": "file", "file_id": "f"},
        {"type": "file", "file": {"file_id": "f"}, "file_data": "AAAA"},
        {"type": "file", "file": {"file_id": "f", "file_data": "AAAA"}},
        {"type": "input_file", "file_url": "https://x", "file": {"file_data": "AAAA"}},
        {"type": "audio_url", "audio_url": {"url": "https://x/y.mp3"}},
        {"type": "video_url", "video_url": {"url": "https://x/y.mp4", "data": "AAAA"}},
        {"type": "document_url", "document_url": "https://x/y.pdf"},
        {"type": "video", "video": ["https://x/1.png"], "file_data": "AAAA"},
    ],
)
def test_a_file_that_is_elsewhere_is_seen_wherever_it_is_named(part: Body) -> None:
    """An address may stand where bytes do, and bytes that nobody looks at beside it."""
    written = json.dumps({"model": "m", "messages": turn(part), "input": turn(part)})
    slashes = written.replace("/", "\\/")
    for body in (written, slashes, written.replace("https", "".join(f"\\u{ord(each):04x}" for each in "https"))):
        assert chat.parse_request(body.encode()).is_open
        assert responses.parse_request(body.encode()).is_open


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "/AAA" * 1000, "format": "mp3"}},
        {"type": "file", "file": {"filename": "y.pdf", "file_data": "data:application/pdf;base64," + "/AAA" * 1000}},
        {"type": "input_file", "file_data": "/AAA" * 1000, "file_id": None},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "/AAA" * 1000}},
    ],
)
def test_a_file_that_is_there_counts_by_its_bytes(part: Body) -> None:
    for slash in ("/", "\\/"):
        body = json.dumps({"model": "m", "messages": turn(part)}).replace("/", slash)
        read = chat.parse_request(body.encode())
        assert (read.is_open, read.images) == (False, 1)
        assert 4000 <= read.media_bytes <= 5100
        assert read.text_bytes + read.media_bytes == len(body)


def test_bytes_in_a_part_hide_no_address_beside_them() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "fileData": {"fileUri": "gs://x"}}
    for parts in ([part], [{"functionResponse": {"name": "f", "parts": [part]}}]):
        read = gemini.parse_request(json.dumps({"contents": [{"parts": parts}]}).encode(), GENERATE)
        assert (read.is_open, read.images) == (True, 2)


def test_what_a_body_for_gemini_has_is_seen_however_its_names_are_spelled() -> None:
    body = {
        "contents": [{"parts": [{"file_data": {"mime_type": "audio/mpeg", "file_uri": "gs://x"}}]}],
        "generation_config": {"candidate_count": 8},
    }
    plain = json.dumps(body)
    assert gemini.parse_request(plain.encode(), GENERATE).is_open
    for written in ("_", "d", "c", "t"):
        spelled = plain
        for name in ("file_data", "mime_type", "file_uri", "generation_config", "candidate_count"):
            spelled = spelled.replace(name, name.replace(written, f"\\u{ord(written):04x}"))
        read = gemini.parse_request(spelled.encode(), GENERATE)
        assert (read.is_open, read.images, read.has_audio, read.choices) == (True, 1, True, 8)


def test_a_picture_written_in_escapes_hides_no_text_of_a_body_that_is_written_anew() -> None:
    words, letters = "word " * 1000, rb"\u0041" * 1000
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,LETTERS"}}
    tool = {"type": "function", "name": "f", "parameters": {}}
    body = json.dumps({"model": "m", "messages": turn(picture, {"type": "text", "text": words}), "tools": [tool]})
    read = chat.parse_request(body.encode().replace(b"LETTERS", letters))
    assert read.images == 1 and read.text_bytes > len(words)


@pytest.mark.parametrize("unit", [b"_", b"a_", rb"\u005f", rb"\"_", rb"\"a_\u005f", rb"\"_\":"])
def test_a_text_is_not_gone_through_again_and_again_for_names(unit: bytes) -> None:
    body = b'{"contents":[{"parts":[{"text":"%b"}]}]}' % (unit * (200_000 // len(unit)))
    assert quickly(gemini, body).messages == 1


def quickly(dialect: Any, body: bytes) -> ChatRequest:
    began = time.process_time()
    read = dialect.parse_request(body, GENERATE if dialect is gemini else NOWHERE)
    assert time.process_time() - began < 1.5
    return read


def test_what_is_nested_is_not_gone_through_at_every_depth() -> None:
    text = b'"%b"' % (b"x" * 20_000_000)
    lists = b"[" * 400 + text + b"]" * 400
    addresses = b'{"url":' * 400 + text + b"}" * 400
    picture = b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":%b}]}]}' % addresses
    assert quickly(chat, picture).images == 1
    with pytest.raises(MalformedRequest):
        quickly(gemini, b'{"generation_config":{},"contents":%b}' % lists)
