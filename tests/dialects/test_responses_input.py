"""Items put in the place of a request's input weigh what they weigh: pictures by the piece, not by their bytes."""

import json

from faregate.dialects.openai_responses.request import parse_request, replace_input

PICTURE = "data:image/png;base64," + "A" * 100_000
SEEN = {"type": "input_image", "image_url": PICTURE}
HEARD = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def item(*parts: object) -> bytes:
    return json.dumps({"role": "user", "content": parts}, separators=(",", ":")).encode()


def test_it_is_weighed_as_if_it_had_come_so() -> None:
    items = (item({"type": "input_text", "text": "a"}, SEEN), item(SEEN, HEARD))
    request = parse_request(b'{"model":"m","instructions":"i","input":"b"}')
    replace_input(request, items)
    whole = parse_request(b'{"model":"m","instructions":"i","input":[%b]}' % b",".join(items))
    assert request == whole
    assert (request.images, request.media_bytes) == (3, len('"AAAA"'))  # the sound by its bytes
    assert request.text_bytes < 1_000
    assert (request.has_images, request.has_audio, request.messages) == (True, True, 3)
