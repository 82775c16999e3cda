"""Heads: what may stand in them, and how they are read.

A request's head is cut at its empty line and split into fields here, which costs a fraction of a callback for each;
then llhttp reads the same bytes, and refuses what smugglers live on (length and chunking together, bare LF, folded
lines, characters that no field may hold). Only what both agree on is a head. Added to llhttp's rules, because two
parsers could read it differently (security.md S13): one space each in the request line, HTTP 1.0 or 1.1 alone, one
Host, `chunked` as the only transfer coding and never with 1.0; and the bounds. A target in absolute form is read as the
one in origin form that it means, and replaces the Host field (RFC 9112, 3.2.2).

One client's heads differ from each other in their Content-Length at most, as a rule. So a head that was read is kept,
and found again by its bytes, the length left out: what two parsers made of it holds for every copy. On one connection
the next head is compared with the last before anything is searched for.

An answer's head is never the same twice, and may have thirty fields. llhttp checks it, with nobody listening; its first
line, where llhttp is lax, is checked by a pattern; then it is searched for the few fields that matter.
"""

import re
from collections.abc import Mapping
from typing import Any

import httptools
import msgspec

from .messages import BadMessage

EMPTY_LINE = b"\r\n\r\n"
TLS_HANDSHAKE = b"\x16\x03"  # how a record with a ClientHello begins, whatever the version (RFC 8446, 5.1)
_SINGLE_FIELDS = frozenset({b"host", b"content-length", b"authorization", b"content-type", b"transfer-encoding"})
_LENGTH_DIGITS_MAX = 18
_KEPT_MAX = 4096
_KEPT_BYTES_MAX = 2048
_ABSOLUTE_TARGET = re.compile(  # of the authority what names a server: nobody logs in by a URL (RFC 9110, 4.2.4)
    rb"(?i:https?)://((?:[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]*)?)((?:[/?][^#]*)?)"
).fullmatch
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*+)?+(?=\r\n|\Z)").match
_FRAMING_FIELDS = [
    (name, b"\r\n%b:" % name) for name in (b"content-length", b"transfer-encoding", b"content-encoding", b"connection")
]


class HeadTooLarge(BadMessage):
    """The head is over its bounds."""


class SpeaksTls(BadMessage):
    """The first bytes are a TLS ClientHello."""


class HeadBounds(msgspec.Struct, frozen=True):
    """How large a head may be, in bytes and fields."""

    bytes_max: int
    fields_max: int
    target_bytes_max: int


class RequestHead(msgspec.Struct, kw_only=True):
    """What a request's head says, but for its length. Header names are lower-case; names and values are bytes as they
    came. It is shared by all requests whose heads are the same, so nothing in it may be changed; `notes` is for what a
    handler makes of it alone."""

    method: bytes
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    http_11: bool
    keep_alive: bool = True
    chunked: bool = False
    expects_continue: bool = False
    notes: Any = None


class SizedHead(msgspec.Struct, frozen=True):
    """A head that was read, and its bytes around the digits of its Content-Length; `after` ends with the empty line."""

    before: bytes
    after: bytes
    head: RequestHead


class Heads:
    """Reads the heads of requests, and keeps what was read of them."""

    def __init__(self, bounds: HeadBounds) -> None:
        self.bounds = bounds
        self._sized: dict[bytes, SizedHead] = {}  # by the head without its Content-Length line
        self._others: dict[bytes, tuple[RequestHead, int | None, None]] = {}

    def read(self, head: bytes) -> tuple[RequestHead, int | None, SizedHead | None]:
        """A head, its empty line excluded, the length that it states, and how to know the same head with another
        length. BadMessage, HeadTooLarge, SpeaksTls."""
        start = head.find(b"\r\nContent-Length: ")
        if start < 0:
            start = head.find(b"\r\ncontent-length: ")
        if start < 0:
            found = self._others.get(head)
            if found is None:
                found = (*read_request_head(head, self.bounds), None)
                _keep(self._others, head, found)
            return found
        end = head.find(b"\r", start + 18)
        if end < 0:
            end = len(head)
        before, after = head[: start + 18], head[end:]
        around = before + after
        known = self._sized.get(around)
        if known is None:
            read, length = read_request_head(head, self.bounds)
            known = SizedHead(before, after + EMPTY_LINE, read)
            _keep(self._sized, around, known)
            return read, length, known
        return known.head, read_length(head[start + 18 : end]), known


def _keep(kept: dict[bytes, Any], head: bytes, read: Any) -> None:
    if len(head) <= _KEPT_BYTES_MAX:
        if len(kept) >= _KEPT_MAX:
            del kept[next(iter(kept))]  # the oldest
        kept[head] = read


def read_length(digits: bytes) -> int:
    """A stated length, bytes. BadMessage for what is no number."""
    if not digits.isdigit() or len(digits) > _LENGTH_DIGITS_MAX:
        raise BadMessage("malformed Content-Length")
    return int(digits)


def read_request_head(head: bytes, bounds: HeadBounds) -> tuple[RequestHead, int | None]:
    """As Heads.read, for a head that is new."""
    if head.startswith(TLS_HANDSHAKE):
        raise SpeaksTls
    if not head.isascii():  # nobody agrees on what such bytes mean (F70)
        raise BadMessage("a head that is not ASCII")
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0") or words[0] == b"CONNECT":
        raise BadMessage("malformed request line")
    if len(words[1]) > bounds.target_bytes_max or len(lines) > bounds.fields_max + 1:
        raise HeadTooLarge
    headers = _fields(lines[1:])
    http_11 = words[2] == b"HTTP/1.1"
    coding = headers.get(b"transfer-encoding")
    if http_11 and b"host" not in headers:
        raise BadMessage("no Host")
    if coding is not None and (coding.lower() != b"chunked" or not http_11):
        raise BadMessage("unknown transfer coding")
    length = headers.get(b"content-length")
    if b"upgrade" in headers:
        head = _without_upgrade(headers, lines)
    target = words[1] if words[1].startswith(b"/") else _origin_form(words[0], words[1], headers)
    path, _, query = target.partition(b"?")
    expect = headers.get(b"expect")
    read = RequestHead(
        method=words[0],
        path=path,
        query=query,
        headers=headers,
        http_11=http_11,
        keep_alive=_Confirmation().keep_alive(head, words[0]),
        chunked=coding is not None,
        expects_continue=expect is not None and http_11 and expect.lower() == b"100-continue",
    )
    return read, None if length is None else read_length(length)


def _origin_form(method: bytes, target: bytes, headers: dict[bytes, bytes]) -> bytes:
    """A target in absolute form as one in origin form; its authority becomes the Host. `*`, which asks for the options
    of the whole server, stays (RFC 9112, 3.2.2 and 3.2.4). BadMessage for any other."""
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE_TARGET(target)
    if absolute is None:
        raise BadMessage("malformed target")
    headers[b"host"], rest = absolute.groups()
    if not rest and method == b"OPTIONS":
        return b"*"
    return rest if rest.startswith(b"/") else b"/" + rest


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """Fields by name; of those that came more than once the values joined by commas, where that is their meaning."""
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip()
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE_FIELDS:
            raise BadMessage("a field came twice")
        else:
            headers[name] += b", " + value
    return headers


def _without_upgrade(headers: dict[bytes, bytes], lines: list[bytes]) -> bytes:
    """The head of an h2c upgrade as the plain HTTP/1.1 request it also is; Java's client sends one by default.

    llhttp would stop at a head that asks to upgrade. Any other upgrade is refused.
    """
    if headers[b"upgrade"].lower() != b"h2c":
        raise BadMessage("upgrade is not supported")
    return b"\r\n".join(line for line in lines if not line.lower().startswith((b"upgrade:", b"http2-settings:")))


class _Confirmation:
    """llhttp's word on one head."""

    _keeps_alive: bool | None = None

    def keep_alive(self, head: bytes, method: bytes) -> bool:
        """Whether the connection may be kept after this request. BadMessage where llhttp reads the head otherwise."""
        self._parser = parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head + EMPTY_LINE)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise BadMessage("malformed HTTP") from None
        finally:
            del self._parser
        if self._keeps_alive is None or parser.get_method() != method:
            raise BadMessage("malformed HTTP")
        return self._keeps_alive

    def on_headers_complete(self) -> None:
        """llhttp has read the head."""
        self._keeps_alive = self._parser.should_keep_alive()


class _Nobody:
    """Listens to nothing that llhttp says."""


_NOBODY = _Nobody()


class ResponseHead(msgspec.Struct):
    """What an answer's head says. `framing` has the fields that say how the body comes, name and value in lower case;
    any other field is looked for when it is asked for."""

    status: int
    http_11: bool
    framing: list[tuple[bytes, bytes]]
    _raw: bytes
    _lowered: bytes

    def field(self, name: bytes) -> bytes | None:
        """The value of the field `name` (in lower case), of several the last; None where there is none."""
        start = self._lowered.rfind(b"\r\n" + name + b":")
        if start < 0:
            return None
        raw = self._raw
        end = raw.find(b"\r", start + 2)
        return raw[start + len(name) + 3 : end if end > 0 else None].strip()

    def fields(self) -> dict[bytes, bytes]:
        """All fields, names in lower case; of several of one name the last."""
        lines = [line.partition(b":") for line in self._raw.split(b"\r\n")[1:]]
        return {name.lower(): value.strip() for name, _, value in lines}


def read_response_head(head: bytes) -> ResponseHead:
    """An answer's head, its empty line excluded. BadMessage."""
    first = _STATUS_LINE(head)
    if first is None:
        raise BadMessage("malformed HTTP answer")
    try:
        httptools.HttpResponseParser(_NOBODY).feed_data(head + EMPTY_LINE)
    except httptools.HttpParserUpgrade:
        pass  # that is for who reads the status
    except httptools.HttpParserError:
        raise BadMessage("malformed HTTP answer") from None
    http_minor, status = first.groups()
    lowered = head.lower()
    return ResponseHead(int(status), http_minor == b"1", _framing(lowered), head, lowered)


def _framing(lowered: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    for name, start_of_line in _FRAMING_FIELDS:
        at = lowered.find(start_of_line)
        while at >= 0:
            at += len(start_of_line)
            end = lowered.find(b"\r", at)
            found.append((name, lowered[at : end if end >= 0 else None].strip(b" \t")))
            at = lowered.find(start_of_line, at)
    return found
