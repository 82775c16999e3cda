"""Bearer tokens that expire: fetched before the first call, and again before they end.

A call never waits for a token. A task of its own asks the token endpoint once four fifths of a token's life, or all
but its last five minutes, are over; the old one serves as long as it holds, however often a renewal fails. Without one
that holds the provider is not available (503). The answers are those of OAuth 2.0 (RFC 6749, sections 5.1 and 5.2),
which Entra ID, Google's token endpoint and Google's metadata server share.
"""

import asyncio
import contextlib
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from ..core.errors import UpstreamUnavailable
from ..core.secret import Secret
from ..wire.client import Client, Origin, Timeouts
from ..wire.deadlines import Deadlines
from ..wire.strand import in_strand

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 64 * 1024
_LIFE_S_MAX = 86_400.0
_MARGIN_S = 300.0
_MARGIN_SHARE = 0.2
_RETRY_S, _RETRY_S_MAX = 0.5, 30.0
_DOUBT_INTERVAL_S = 60.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")

Report = Callable[..., None]


class Question(NamedTuple):
    """A request for a token; `fields` are its header lines beside host and framing."""

    origin: Origin
    path: str
    fields: bytes = b""
    body: bytes = b""
    method: str = "POST"


def form_question(origin: Origin, path: str, members: Mapping[str, str]) -> Question:
    """A request for a token as a form, which is how OAuth 2.0 asks (RFC 6749, section 4)."""
    body = urllib.parse.urlencode(members).encode()
    return Question(origin, path, b"content-type: application/x-www-form-urlencoded\r\n", body)


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 3600.0


class _Denied(msgspec.Struct):
    error: str


_granted_decoder = msgspec.json.Decoder(_Granted, strict=False)  # some write the seconds in quotes
_denied_decoder = msgspec.json.Decoder(_Denied)


class _NoToken(Exception):
    """The token endpoint gave none; the message has no secret in it, and nothing that came from there but a code."""


class Tokens:
    """The tokens of one provider. `ask` makes the question, in a thread, because it may have to sign it; `secrets` are
    those that it is made with."""

    def __init__(self, ask: Callable[[], Question], secrets: tuple[Secret, ...] = ()) -> None:
        self.secrets = secrets
        self.tried = asyncio.Event()  # whether there was an answer, or none in time
        self._ask = ask
        self._line = b""
        self._ends_at = 0.0
        self._wake = asyncio.Event()
        self._doubted_at = float("-inf")

    def __repr__(self) -> str:
        return f"Tokens(holds={self.holds})"

    @property
    def holds(self) -> bool:
        """Whether there is a token that has not expired."""
        return time.monotonic() < self._ends_at

    def authorize(self, _path: str, _body: bytes) -> bytes:
        """The header line with the token (Provider.authorize). UpstreamUnavailable where there is none."""
        if time.monotonic() < self._ends_at:
            return self._line
        raise UpstreamUnavailable("The provider is not available.", reason="there is no token")

    def doubt(self) -> None:
        """The provider has refused the token: ask for another now, but not more often than every minute."""
        now = time.monotonic()
        if now - self._doubted_at >= _DOUBT_INTERVAL_S:
            self._doubted_at = now
            self._wake.set()

    async def keep(
        self, name: str, client: Client, deadlines: Deadlines, report: Report, learn: Callable[[str], None]
    ) -> None:
        """Renew the token of the provider `name` for ever. `learn` is told each one, so that nobody else is."""
        failures = 0
        while True:
            wait_s = 0.0
            try:
                token, life_s = await self._fetched(client, deadlines)
            except _NoToken as failure:
                level = "warning" if self.holds else "error"
                wait_s = min(_RETRY_S_MAX, _RETRY_S * 2**failures)
                failures = min(failures + 1, 16)
                report(level, "token_refresh_failed", provider=name, reason=str(failure), holds=self.holds)
            else:
                learn(token)
                self._line = b"authorization: Bearer %b\r\n" % token.encode()
                self._ends_at = time.monotonic() + life_s
                wait_s = life_s - min(_MARGIN_S, life_s * _MARGIN_SHARE)
                report("info" if failures else "debug", "token_refreshed", provider=name, life_s=round(life_s))
                failures = 0
            self.tried.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait_s)
            self._wake.clear()

    async def _fetched(self, client: Client, deadlines: Deadlines) -> tuple[str, float]:
        """A new token, and how many seconds it holds. _NoToken."""
        try:
            question = await asyncio.to_thread(self._ask)
            status, answer = await in_strand(_answer(client, deadlines, question))
        except Exception as error:  # whatever it is, it is tried again: nobody else would
            raise _NoToken(type(error).__name__) from None
        if status != 200:
            raise _NoToken(f"status {status}{_code_of(answer)}")
        try:
            granted = _granted_decoder.decode(answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _NoToken("the answer is no token") from None
        if not _TOKEN.fullmatch(granted.access_token) or not granted.expires_in > 0:
            raise _NoToken("the answer's token cannot be used")
        return granted.access_token, min(granted.expires_in, _LIFE_S_MAX)


async def _answer(client: Client, deadlines: Deadlines, question: Question) -> tuple[int, bytes]:
    head = b"%b %b HTTP/1.1\r\nhost: %b\r\nuser-agent: faregate\r\naccept: application/json\r\n%b" % (
        question.method.encode(),
        question.path.encode(),
        question.origin.authority.encode(),
        question.fields,
    )
    if question.body:
        head += b"content-length: %d\r\n" % len(question.body)
    timeouts = Timeouts(first_byte_s=_TIMEOUT_S, idle_s=_TIMEOUT_S, deadline_at=deadlines.now + _TIMEOUT_S)
    response = await client.send(question.origin, head + b"\r\n", question.body, timeouts)
    return response.status, await response.read(_ANSWER_BYTES_MAX)


def _code_of(answer: bytes) -> str:
    """OAuth's word for what is wrong. The description beside it names accounts, and is not for the log."""
    try:
        code = _denied_decoder.decode(answer).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return f": {code}" if _ERROR_CODE.fullmatch(code) else ""
