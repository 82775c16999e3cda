"""What the client has no place for and comes when the head of the stream has left is named in its trailer."""

import json
import threading

from tests.running.client import Connection, request_bytes
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream, Visit

from .matrix import matrix_cases

WAIT_S = 20.0
CASE = next(case for case in matrix_cases() if case.name == "stream_picture-anthropic-to-gemini")


def test_a_picture_after_the_head_is_named_in_the_trailer(crossing: Gateway, player: Upstream) -> None:
    has_begun = threading.Event()
    events = [b"data: %b\r\n\r\n" % json.dumps(each["data"]).encode() for each in CASE.said["upstream_stream"]]

    def play(visit: Visit) -> None:
        visit.stream(events[0])
        assert has_begun.wait(WAIT_S)
        visit.pieces(*events[1:])
        visit.end()

    player.play(play)
    fields = {"connection": "close", "te": "trailers", **CASE.request["headers"]}
    body = json.dumps(CASE.request["body"]).encode()
    with Connection(crossing.port) as connection:
        connection.send(request_bytes("POST", CASE.request["path"], body, fields, crossing.key))
        assert connection.head().header("x-faregate-dropped") is None
        has_begun.set()
        rest = connection.ended()
    _, mark, trailers = rest.rpartition(b"\r\n0\r\n")
    assert mark
    assert b"x-faregate-dropped: answer.image\r\n" in trailers
