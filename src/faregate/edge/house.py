"""A house: the public face of a deployment. Facts -> header names, error kind -> status and body, models, prices. Data,
from houses/*.toml or a file of the operator's (house_file.py); never a branch in code."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from ..core.call import UsageRecord
from ..core.errors import CallError, KeyTaken, LimitExceeded, UpstreamError, UpstreamRefused
from ..core.limits import Standing
from ..core.money import format_amount
from ..wire.messages import header_lines
from .house_file import DEFAULT, HouseFile, Prices, house_path, read_house
from .routes import Routes

_FORMATS_MAX = 10_000
_WORDS_MAX = 50
_WORD_CHARACTERS_MAX = 100
_PATIENCE_S = 120.0  # more than that no SDK waits for
Made = tuple[str, str, str, str, tuple[bool, str, int]]  # how an answer was made, as its head tells it
_UNPRINTABLE = re.compile(r"[^!-+\--~]")  # nor commas: they part the words


class House:
    """A house, ready to render with. `prices` is what it says of each model's price; `base_path` is what stands before
    its prefixes where it shares an address with others."""

    def __init__(self, facts: HouseFile, prices: Prices, base_path: str = "") -> None:
        self.facts = facts
        self.prices = prices
        self.name = facts.name
        self.key_prefix = facts.key_prefix.encode()
        self.prefixes = tuple(base_path + prefix for prefix in facts.prefixes)
        self.routes = Routes(self.prefixes, facts.routes_off)
        asked = facts.request_headers
        self.project_fields = tuple(name.lower().encode() for name in asked.project_id)
        self.region_fields = tuple(name.lower().encode() for name in asked.region_hint)
        self.retention_fields = tuple(name.lower().encode() for name in asked.no_retention)
        urls = {f"{name}_url": url for name, url in facts.urls.items()}
        self._words = {kind: sentence.format(**urls) for kind, sentence in facts.words.items()}
        rates = facts.rate_headers
        said = ((rates.limit, "%d"), (rates.remaining, "%d"), (rates.reset, "%b"))
        lines = "".join(f"{_literal(name)}: {place}\r\n" for name, place in said if name)
        self._rates = lines.encode("ascii")
        self._resets_at_epoch = rates.reset_form == "epoch"
        self._formats: dict[Made, str] = {}

    def head(self, record: UsageRecord, latency_ms: float) -> bytes:
        """The header lines of every answer: id, latency, where it was made and at what rate."""
        made = made_of(record)
        lines = self._formats.get(made) or self._format(made)
        return (lines % {"id": record.id, "latency": latency_ms}).encode("ascii")

    def _format(self, made: Made) -> str:
        """The lines of all answers that were made in the same way, with places for what differs."""
        pairs = self._pairs(made)
        if len(self._formats) > _FORMATS_MAX:
            self._formats.clear()
        names = self.facts.headers
        places = [f"{_literal(name)}: %(id)s\r\n" for name in names.request_id]
        places.append(f"{_literal(names.latency_ms)}: %(latency)d\r\n")
        fixed = _literal(header_lines(pairs).decode("ascii"))
        lines = self._formats[made] = "".join(places) + fixed
        return lines

    def _pairs(self, made: Made) -> list[tuple[str, str]]:
        region, replica, model, token_rate, (has_failed_over, fallback_from, fallback_depth) = made
        names = self.facts.headers
        pairs = [
            (names.region, region),
            (names.replica, replica or "none"),
            (names.failover, "true" if has_failed_over else "false"),
            (names.fallback_depth, str(fallback_depth)),
        ]
        if fallback_depth:
            pairs.append((names.fallback_from, fallback_from))
        if model:
            pairs.append((names.model_used, model))
        if token_rate:
            pairs.append((names.token_rate, token_rate))
        return pairs

    def correction(self, record: UsageRecord, said: Made) -> bytes:
        """The trailer lines of how a stream was made, where its head had to leave before that was known."""
        made = made_of(record)
        if made[:3] == said[:3] and made[4] == said[4]:  # the rate may depend on the size of the prompt
            return b""
        return header_lines(self._pairs(made))

    def credits_line(self, cost_nano: int) -> bytes:
        """The header line, or trailer, that says what an answer cost."""
        return f"{self.facts.headers.credits_used}: {format_amount(cost_nano)}\r\n".encode("ascii")

    def latency_line(self, latency_ms: float) -> bytes:
        """The trailer that says how long a stream took as a whole; its head says when it began."""
        return f"{self.facts.headers.latency_ms}: {latency_ms:.0f}\r\n".encode("ascii")

    def rate_lines(self, standing: Standing | None, now: float) -> bytes:
        """The header lines that say what is left of the requests of a minute; `now` is unix seconds."""
        if standing is None or not self._rates:
            return b""
        bound, remaining, reset_at = standing
        reset = b"%d" % math.ceil(reset_at) if self._resets_at_epoch else _duration(reset_at - now).encode("ascii")
        return self._rates % (bound.limit, remaining, reset)

    def changed_lines(self, dropped: Sequence[str], adjusted: Sequence[str]) -> bytes:
        """The header lines that say what the provider was not told of a request, or told otherwise."""
        headers = self.facts.headers
        said = ((headers.dropped, dropped), (headers.adjusted, adjusted))
        return b"".join(_list_line(name, words) for name, words in said if words)

    @property
    def replayed_line(self) -> bytes:
        """The header line of an answer that was made for an earlier request."""
        return f"{self.facts.headers.replayed}: true\r\n".encode("ascii")

    def error(self, error: CallError, request_id: str) -> tuple[int, dict[str, object], bytes]:
        """Status, body members and extra header lines of an error."""
        status, error_type, code = self.facts.errors.get(error.kind, (500, "internal_server_error", "internal_error"))
        if isinstance(error, UpstreamRefused):
            status, error_type, code = (
                error.status,
                error.error_type or "invalid_request_error",
                error.code or "",
            )
        values: dict[str, object] = {
            "message": self._words.get(error.kind, error.message),
            "type": error_type,
            "param": error.param,
            "code": code or None,
            "request_id": request_id,
        }
        return status, {name: values[name] for name in self.facts.members}, _retry_lines(error, status)


def _literal(text: str) -> str:
    """A text as part of a format; a header's name may have a `%`."""
    return text.replace("%", "%%")


def _retry_lines(error: CallError, status: int) -> bytes:
    """When to come back, and whether at all: the SDKs repeat a 409, and a 429 however long it holds."""
    if isinstance(error, KeyTaken) and error.retry_after_s is None:
        return b"x-should-retry: false\r\n"
    if status < 500 and status != 429 and not isinstance(error, KeyTaken):
        return b""
    after_s = max(error.retry_after_s or 1.0, 0.001)
    lines = b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (max(1, math.ceil(after_s)), math.ceil(after_s * 1000))
    is_vain = isinstance(error, LimitExceeded) and (error.is_final or after_s > _PATIENCE_S)
    if is_vain or (isinstance(error, UpstreamError) and not error.is_worth_retrying):
        lines += b"x-should-retry: false\r\n"
    return lines


def _duration(seconds: float) -> str:
    """A time as OpenAI's headers say it: `1s`, `6m0s`, `120ms` (API reference, rate limits in headers)."""
    millis = max(0, math.ceil(seconds * 1000))
    if millis < 1000:
        return f"{millis}ms"
    whole, millis = divmod(millis, 1000)
    minutes, whole = divmod(whole, 60)
    text = f"{whole}.{millis:03d}".rstrip("0").rstrip(".") if millis else str(whole)
    return f"{minutes}m{text}s" if minutes else f"{text}s"


def made_of(record: UsageRecord) -> Made:
    """How an answer is being made."""
    model = record.model if record.attempts else ""  # one that nobody was asked for was not used
    failed = (record.has_failed_over, record.fallback_from, record.fallback_depth)
    return (record.region, record.replica, model, record.token_rate, failed)


def _list_line(name: str, words: Sequence[str]) -> bytes:
    """A header line with a list. Names come from the client's body: what may not stand in a header does not."""
    shown = [_UNPRINTABLE.sub("?", word)[:_WORD_CHARACTERS_MAX] for word in words[:_WORDS_MAX]]
    return f"{name}: {', '.join(shown)}\r\n".encode("ascii")


def load_house(house: str | Path = DEFAULT, directory: Path | None = None, base_path: str = "") -> House:
    """The house of a name, or of a path that ends in .toml, relative to `directory`. SettingsError."""
    facts, prices = read_house(house_path(str(house), directory or Path()))
    return House(facts, prices, base_path)
