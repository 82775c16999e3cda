"""A house: facts -> header names, error kind -> status and body, and its price list. Data, from houses/*.toml or a file
of the operator's; never a branch in code. What a file does not say is as in the default house."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..core.call import UsageRecord
from ..core.errors import CallError, KeyTaken, UpstreamRefused
from ..core.money import PriceEntry, format_amount
from ..settings_prices import PriceEntrySettings, RatesSettings, entries_of, flaw_of
from ..settings_reader import Reader
from ..settings_source import TomlSource
from ..wire.messages import header_lines

DEFAULT_FILE = Path(__file__).parent / "houses" / "faregate.toml"
_FORMATS_MAX = 10_000
_WORDS_MAX = 50
_WORD_CHARACTERS_MAX = 100
_UNPRINTABLE = re.compile(r"[^!-+\--~]")  # nor commas: they part the words
_TABLES = ("headers", "errors")

HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}\Z")]
Prefix = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]{1,100}){1,10}\Z")]
Status = Annotated[int, msgspec.Meta(ge=400, le=599)]
Member = Literal["message", "type", "param", "code", "request_id"]


class HeaderNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the house calls each fact of an answer."""

    request_id: tuple[HeaderName, ...]
    region: HeaderName
    replica: HeaderName
    latency_ms: HeaderName
    failover: HeaderName
    model_used: HeaderName
    credits_used: HeaderName
    adjusted: HeaderName
    dropped: HeaderName
    fallback_depth: HeaderName
    replayed: HeaderName


class HouseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A house as its file has it. `errors`: kind -> status, type, code."""

    name: str
    prefixes: tuple[Prefix, ...]
    members: tuple[Member, ...]
    headers: HeaderNames
    errors: dict[str, tuple[Status, str, str]]


class House:
    """A house, ready to render with. `prices` is what it says of each model's price."""

    def __init__(self, facts: HouseFile, prices: Mapping[str, tuple[PriceEntry, ...]]) -> None:
        self.facts = facts
        self.prices = prices
        self._formats: dict[tuple[str, str, str, int], str] = {}

    def head(self, record: UsageRecord, latency_ms: float) -> bytes:
        """The header lines of every answer: id, latency, where it was made."""
        made = (record.region, record.replica, record.model, record.attempts)
        lines = self._formats.get(made) or self._format(made)
        return (lines % {"id": record.id, "latency": latency_ms}).encode("ascii")

    def _format(self, made: tuple[str, str, str, int]) -> str:
        """The lines of all answers that were made in the same way, with places for what differs."""
        region, replica, model, attempts = made
        names = self.facts.headers
        pairs = [
            (names.region, region),
            (names.replica, replica or "none"),
            (names.failover, "true" if attempts > 1 else "false"),
            (names.fallback_depth, "0"),
        ]
        if model:
            pairs.append((names.model_used, model))
        if len(self._formats) > _FORMATS_MAX:
            self._formats.clear()
        places = [f"{name}: %(id)s\r\n" for name in names.request_id]
        places.append(f"{names.latency_ms}: %(latency)d\r\n")
        fixed = header_lines(pairs).decode("ascii").replace("%", "%%")
        lines = self._formats[made] = "".join(places) + fixed
        return lines

    def credits_line(self, cost_nano: int) -> bytes:
        """The header line, or trailer, that says what an answer cost."""
        return f"{self.facts.headers.credits_used}: {format_amount(cost_nano)}\r\n".encode("ascii")

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
            "message": error.message,
            "type": error_type,
            "param": error.param,
            "code": code or None,
            "request_id": request_id,
        }
        lines = b""
        if isinstance(error, KeyTaken) and error.retry_after_s is None:
            lines = b"x-should-retry: false\r\n"  # the SDKs would repeat a 409
        elif status >= 500 or status == 429 or isinstance(error, KeyTaken):
            seconds = max(1, math.ceil(error.retry_after_s or 1.0))
            lines = b"retry-after: %d\r\n" % seconds
        return status, {name: values[name] for name in self.facts.members}, lines


def _list_line(name: str, words: Sequence[str]) -> bytes:
    """A header line with a list. Names come from the client's body: what may not stand in a header does not."""
    shown = [_UNPRINTABLE.sub("?", word)[:_WORD_CHARACTERS_MAX] for word in words[:_WORDS_MAX]]
    return f"{name}: {', '.join(shown)}\r\n".encode("ascii")


def load_house(file: Path | None = None) -> House:
    """The house of a file, or the default one. SettingsError."""
    reader = Reader(TomlSource.read(file or DEFAULT_FILE))
    facts: dict[str, Any] = TomlSource.read(DEFAULT_FILE).tree
    own = {name: value for name, value in reader.source.tree.items() if name != "prices"}
    for kind in reader.mapping("errors", tuple[Status, str, str]):
        if kind not in facts["errors"]:
            raise reader.source.fail(("errors", kind), "there is no such kind of error")
    merged = {name: {**facts[name], **reader.table(name)} for name in _TABLES}
    return House(reader.convert({**facts, **own, **merged}, HouseFile, ()), _price_list(reader))


def _price_list(reader: Reader) -> dict[str, tuple[PriceEntry, ...]]:
    """[prices."MODEL"], or [[prices."MODEL"]] for one with dates or conditions; see settings_prices."""
    found = {}
    for model, said in reader.mapping("prices", RatesSettings | tuple[PriceEntrySettings, ...]).items():
        price, prices = (said, ()) if isinstance(said, RatesSettings) else (None, said)
        flaw = flaw_of(price, prices)
        if flaw is not None:
            raise reader.source.fail(("prices", model, *flaw[0][1:]), flaw[1])
        found[model] = entries_of(price, prices)
    return found
