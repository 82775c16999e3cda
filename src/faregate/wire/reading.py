"""Bytes -> requests, without I/O: heads cut at their empty line (heads.py reads them), bodies by their length or chunk
by chunk (chunked.py). Nothing but the next head may stand between two messages. What is read does not depend on how
the bytes were split on their way."""

import re
from collections.abc import Callable

from .chunked import Chunks
from .exchange import IncomingRequest
from .heads import EMPTY_LINE, TLS_HANDSHAKE, Heads, HeadTooLarge, RequestHead, SizedHead, SpeaksTls, read_length
from .messages import BadMessage

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_SMALL_PIECE_BYTES = 64
_JOINED_PIECE_BYTES_MAX = 4096

MakeRequest = Callable[[RequestHead, int | None, bool, bool], IncomingRequest]


class RequestReader:
    """Feed it a connection's bytes; `queue` gets each request when its head is complete, its body goes on arriving in
    `request.pieces`. `make_request` makes one from its head, its stated length, and whether the
    connection may be kept and the client waits for "100 Continue"."""

    __slots__ = (
        "_body_bytes_left",
        "_chunks",
        "_heads",
        "_last",
        "_make_request",
        "body_bytes",
        "discarding",
        "incoming",
        "partial",
        "queue",
    )

    def __init__(
        self, make_request: Callable[[RequestHead, int | None, bool, bool], IncomingRequest], heads: Heads
    ) -> None:
        self._make_request = make_request
        self._heads = heads
        self._last: SizedHead | None = None
        self._chunks: Chunks | None = None
        self._body_bytes_left = 0
        self.partial = b""  # a head as far as it has come
        self.incoming: IncomingRequest | None = None  # its body is arriving
        self.discarding = False  # whether nobody wants the rest of that body
        self.body_bytes = 0  # of bodies, in the last feed
        self.queue: list[IncomingRequest] = []  # short: a deque would weigh 600 bytes in every connection

    def feed(self, data: bytes) -> None:
        """Take bytes. HeadTooLarge, SpeaksTls, BadMessage: nothing further is read."""
        self.body_bytes = 0
        while data:
            data = self._feed_head(data) if self.incoming is None else self._feed_body(self.incoming, data)

    def _feed_head(self, data: bytes) -> bytes:
        if self.partial:
            data, searched = self.partial + data, max(0, len(self.partial) - 3)
            self.partial = b""
        else:
            searched = 0
            last = self._last
            if last is not None and data.startswith(last.before):
                start = len(last.before)
                end = data.find(b"\r", start)
                if data.startswith(last.after, end):
                    return self._begin(last.head, read_length(data[start:end]), data[end + len(last.after) :])
        end = data.find(EMPTY_LINE, searched)
        bytes_max = self._heads.bounds.bytes_max
        if (end if end >= 0 else len(data)) > bytes_max:
            raise HeadTooLarge
        if end < 0:
            if data.startswith(TLS_HANDSHAKE):  # llhttp is asked of whole heads alone, and there is no end to wait for
                raise SpeaksTls
            if _BARE_LINE_FEED.search(data):
                raise BadMessage("bare line feed")
            self.partial = data
            return b""
        head, length, self._last = self._heads.read(data[:end])
        return self._begin(head, length, data[end + 4 :])

    def _begin(self, head: RequestHead, length: int | None, rest: bytes) -> bytes:
        """A request whose head is complete; what is left of `rest`, the bytes behind it."""
        request = self._make_request(head, length, head.keep_alive, head.expects_continue)
        self.queue.append(request)
        if head.chunked:
            self._chunks = Chunks()
            self.incoming = request
        elif not length:
            request.complete = True
        elif length == len(rest):  # as most do
            request.complete = True
            request.pieces.append(rest)
            request.body_bytes = length
            self.body_bytes += length
            return b""
        else:
            self._body_bytes_left = length
            self.incoming = request
        return rest

    def _feed_body(self, request: IncomingRequest, data: bytes) -> bytes:
        chunks = self._chunks
        if chunks is None:
            rest = b""
            left = self._body_bytes_left - len(data)
            if left < 0:
                rest = data[left:]
                data = data[:left]
                left = 0
            self._body_bytes_left = left
            ended = not left
        else:
            data = chunks.feed(data)
            rest = chunks.rest
            ended = chunks.ended
        if data and not self.discarding:
            size = len(data)
            request.body_bytes += size
            self.body_bytes += size
            pieces = request.pieces
            if size < _SMALL_PIECE_BYTES and pieces and len(pieces[-1]) < _JOINED_PIECE_BYTES_MAX:
                pieces[-1] += data  # a body of tiny pieces must not weigh many times its bytes
            else:
                pieces.append(data)
        if ended:
            request.complete = True
            self.incoming = self._chunks = None
            self.discarding = False
        elif chunks is not None and chunks.broken is not None:
            raise BadMessage(chunks.broken)
        return rest
