"""Heads that are kept: the same head is read once, whatever its length says, and what is kept is bounded."""

import pytest

from faregate.wire.heads import HeadBounds, Heads
from faregate.wire.messages import BadMessage

BOUNDS = HeadBounds(16 * 1024, 100, 8 * 1024)


def head(*fields: str) -> bytes:
    return "\r\n".join(["POST /a?b=c HTTP/1.1", "Host: here", *fields]).encode()


def test_heads_that_differ_in_their_length_alone_are_one() -> None:
    heads = Heads(BOUNDS)
    first, length, known = heads.read(head("X-A: 1", "Content-Length: 3", "X-B: 2"))
    again, other_length, known_again = heads.read(head("X-A: 1", "Content-Length: 1234", "X-B: 2"))
    assert again is first
    assert known is not None and known_again is known
    assert known.before + b"77" + known.after == head("X-A: 1", "Content-Length: 77", "X-B: 2") + b"\r\n\r\n"
    assert (length, other_length) == (3, 1234)
    assert heads.read(head("X-A: 1", "X-B: 2"))[0] is not first  # one without a length is another
    assert heads.read(head("X-A: 1", "X-B: 2"))[1] is None
    assert heads.read(head("X-A: 1", "Content-Length: 3", "X-B: 3"))[0] is not first


@pytest.mark.parametrize("length", ["-1", "+1", "1 1", "0x1", "", "1_0", "9" * 19, "\u0663"])
def test_a_known_head_with_a_broken_length_is_refused(length: str) -> None:
    heads = Heads(BOUNDS)
    heads.read(head("Content-Length: 3"))
    with pytest.raises(BadMessage):
        heads.read(head(f"Content-Length: {length}"))


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 3", "Content-Length: 3"),
        ("Content-Length: 3", "content-length: 4"),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
    ],
)
def test_a_length_is_not_cut_out_of_what_is_refused(fields: tuple[str, ...]) -> None:
    """What is left without the length is a good head, and known: with it, it is not."""
    heads = Heads(BOUNDS)
    heads.read(head(fields[0]))
    heads.read(head(fields[1]))
    heads.read(head())
    for _ in range(2):
        with pytest.raises(BadMessage):
            heads.read(head(*fields))


def test_notes_stay_with_the_head() -> None:
    heads = Heads(BOUNDS)
    heads.read(head("Content-Length: 3"))[0].notes = "seen"
    assert heads.read(head("Content-Length: 4"))[0].notes == "seen"
    assert heads.read(head("Content-Length: 4", "x: y"))[0].notes is None


@pytest.mark.parametrize(
    ("line", "host", "path", "query"),
    [
        ("GET http://there/v1/models", b"there", b"/v1/models", b""),
        ("GET https://there:8443/v1/models?a=b?c", b"there:8443", b"/v1/models", b"a=b?c"),
        ("POST HTTP://There.example./x//y", b"There.example.", b"/x//y", b""),
        ("GET http://[::1]:80/a:b@c", b"[::1]:80", b"/a:b@c", b""),
        ("GET http://there", b"there", b"/", b""),
        ("GET http://there?a=b", b"there", b"/", b"a=b"),
        ("GET http://there:/", b"there:", b"/", b""),
        ("OPTIONS http://there", b"there", b"*", b""),
        ("OPTIONS http://there/", b"there", b"/", b""),
        ("OPTIONS *", b"here", b"*", b""),
        ("GET //there/v1/models", b"here", b"//there/v1/models", b""),
    ],
)
def test_a_target_in_any_form_is_a_host_and_a_path(line: str, host: bytes, path: bytes, query: bytes) -> None:
    """The authority of a URL wins over the Host field (RFC 9112, 3.2.2)."""
    for version in ("1.1", "1.0"):
        read, _, _ = Heads(BOUNDS).read(f"{line} HTTP/{version}\r\nHost: here".encode())
        assert (read.headers[b"host"], read.path, read.query) == (host, path, query)


def test_1_0_needs_no_host_beside_a_url() -> None:
    read, _, _ = Heads(BOUNDS).read(b"GET http://there/x HTTP/1.0")
    assert read.headers == {b"host": b"there"}


def test_what_is_kept_is_bounded() -> None:
    heads = Heads(BOUNDS)
    large = head("Content-Length: 3", "x-large: " + "v" * 4000)
    assert heads.read(large)[0] is not heads.read(large)[0]
    first = heads.read(head("Content-Length: 3"))[0]
    for number in range(5000):
        heads.read(head("Content-Length: 3", f"x-n: {number}"))
    assert len(heads._sized) <= 4096
    assert heads.read(head("Content-Length: 3"))[0] is not first
