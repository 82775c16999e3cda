"""What the operator says of prices: the tables of faregate.toml as types, and what they come to as a Price.

Money is written as text, "0.25", or as a whole number; TOML's floats are refused, because 0.1 is not a tenth there.
Prices of tokens and characters are given per million, all else per piece, and kept as whole pico-USD a unit: what is
finer than that is refused, never rounded.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, Self

import msgspec

from .core.money import MILLION, PICO_PER_USD, MoneyError, Price, PriceEntry, Rates, parse_price
from .settings_source import KeyPath, Written

OPERATOR = "operator"
HOUSE = "house"
_PICO_MAX = 1_000_000 * PICO_PER_USD
_PERCENT = re.compile(r"[+-]?[0-9]{1,6}(?:\.[0-9]{1,6})?\Z")
_PERCENT_MIN = -100
_MINUTES = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)\Z")
_MINUTES_A_DAY = 1440
_FOREVER = 2**63 - 1
_encode = msgspec.json.Encoder(order="deterministic").encode

TokenCount = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Tier = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")]
Window = tuple[int, int]


class Dollars(Written, int):
    """pico-USD a unit, written in USD per `per` units."""

    per: ClassVar[int] = 1

    @classmethod
    def written(cls, value: object) -> Self:
        """See Written."""
        pico = parse_price(_decimal_text(value, "0.25"), cls.per)
        if pico > _PICO_MAX:
            raise MoneyError("is more than a million dollars a unit")
        return cls(pico)


class DollarsAMillion(Dollars):
    """pico-USD a unit, written in USD per million units."""

    per: ClassVar[int] = MILLION


class Percent(Written, Decimal):
    """Per cent, exact, from -100 on."""

    @classmethod
    def written(cls, value: object) -> Self:
        """See Written."""
        text = _decimal_text(value, "20")
        if _PERCENT.match(text) is None or Decimal(text) < _PERCENT_MIN:
            raise ValueError(f"{text!r} is no percentage: digits, at most 6 behind the point, and not below -100")
        return cls(text)


class Moment(Written, int):
    """Unix seconds, written as a TOML date or date and time; UTC where it names no zone."""

    @classmethod
    def written(cls, value: object) -> Self:
        """See Written."""
        if not isinstance(value, datetime.date):
            raise ValueError("expected a date without quotes, as in 2027-01-01 or 2027-01-01T08:00:00Z")
        if not isinstance(value, datetime.datetime):
            value = datetime.datetime.combine(value, datetime.time())
        moment = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        if moment.microsecond or moment.timestamp() < 0:
            raise ValueError("expected whole seconds, from 1970 on")
        return cls(moment.timestamp())


class Minutes(Written, tuple[int, int]):
    """From one minute of the UTC day until another, written "22:00-06:00"."""

    @classmethod
    def written(cls, value: object) -> Self:
        """See Written."""
        found = _MINUTES.match(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError('expected two times of the UTC day, as in "22:00-06:00"')
        start = int(found[1]) * 60 + int(found[2])
        end = int(found[3]) * 60 + int(found[4]) if found[3] is not None else _MINUTES_A_DAY
        if start == end:
            raise ValueError("begins and ends at the same time")
        return cls((start, end))


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every table has: unknown keys are refused, nothing changes after the start."""


class RatesSettings(_Table, frozen=True):
    """What a unit of each class costs, named as in core.money.Rates; at least one of them."""

    input: DollarsAMillion | None = None
    cache_read: DollarsAMillion | None = None
    cache_write_5m: DollarsAMillion | None = None
    cache_write_1h: DollarsAMillion | None = None
    output: DollarsAMillion | None = None
    reasoning: DollarsAMillion | None = None
    audio_input: DollarsAMillion | None = None
    audio_output: DollarsAMillion | None = None
    image_input: DollarsAMillion | None = None
    image_output: DollarsAMillion | None = None
    character: DollarsAMillion | None = None
    image: Dollars | None = None
    second: Dollars | None = None
    hour: Dollars | None = None
    page: Dollars | None = None
    search: Dollars | None = None
    request: Dollars | None = None

    def __post_init__(self) -> None:
        """ValueError where nothing is priced: that would be free by accident."""
        if self.rates == Rates():
            raise ValueError('names no price; what is free is said so: input = "0"')

    @property
    def rates(self) -> Rates:
        """The same as the vocabulary has it."""
        given = {name: getattr(self, name) for name in Rates.__struct_fields__}
        return Rates(**{name: int(pico) for name, pico in given.items() if pico is not None})

    @property
    def entry(self) -> PriceEntry:
        """These rates, under their conditions."""
        return PriceEntry(rates=self.rates)


class PriceEntrySettings(RatesSettings, frozen=True):
    """[[models."NAME".prices]]: rates and when they hold. Times are unix seconds here."""

    valid_from: Moment = msgspec.field(default=Moment(0), name="from")
    valid_until: Moment | None = msgspec.field(default=None, name="until")
    prompt_tokens_over: TokenCount = 0
    minutes: Minutes | None = None
    tier: Tier = ""

    def __post_init__(self) -> None:
        """ValueError also for a time that ends before it begins."""
        super().__post_init__()
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("until is not after from")

    @property
    def entry(self) -> PriceEntry:
        """These rates, under their conditions."""
        return PriceEntry(
            rates=self.rates,
            prompt_tokens_over=self.prompt_tokens_over,
            valid_from=int(self.valid_from),
            valid_until=None if self.valid_until is None else int(self.valid_until),
            minutes=None if self.minutes is None else (self.minutes[0], self.minutes[1]),
            tier=self.tier,
        )


class MarginSettings(_Table, frozen=True):
    """[[prices.margins]]: what is put on the catalogue's prices of the models whose ids match, per cent."""

    models: Pattern
    percent: Percent


class PricesSettings(_Table, frozen=True):
    """[prices]: what a model costs that nobody has priced, and what is put on the catalogue's prices, per cent."""

    default: RatesSettings | None = None
    margin_percent: Percent = Percent(0)
    margins: tuple[MarginSettings, ...] = ()

    @property
    def default_price(self) -> Price | None:
        """What a model without any price costs; None: it is refused. Made anew at each call."""
        return None if self.default is None else stated_price([self.default.entry])


def stated_price(entries: Iterable[PriceEntry], source: str = OPERATOR) -> Price:
    """The price of these entries, as the operator or the house has stated it. Its version is a hash of them: the same,
    whatever their order."""
    given = sorted(entries, key=_encode)
    digest = hashlib.sha256(_encode(given)).hexdigest()[:12]
    return Price(version=f"{source}:{digest}", entries=tuple(given))


def entries_of(price: RatesSettings | None, prices: Sequence[PriceEntrySettings]) -> tuple[PriceEntry, ...]:
    """All that the operator says of a model's price."""
    return tuple(each.entry for each in ((*prices,) if price is None else (price, *prices)))


def flaw_of(price: RatesSettings | None, prices: Sequence[PriceEntrySettings]) -> tuple[KeyPath, str] | None:
    """Where a model's prices say a thing twice or leave a gap, and in which words; None where they are whole.

    What holds under a condition alone (a size, a time of the day, a tier) must have beside it, for all of its time,
    what holds otherwise; else a request might meet no price at all.
    """
    entries = entries_of(price, prices)
    first = len(entries) - len(prices)
    seen = {_conditions(entry) for entry in entries[:first]}
    for index, entry in enumerate(entries[first:]):
        at: KeyPath = ("prices", index)
        if _conditions(entry) in seen:
            return at, "has the same from and conditions as another price of this model"
        seen.add(_conditions(entry))
        if not _is_within(entry, plain_windows(entries)):
            return at, "needs beside it, for all of its time, a price without conditions"
        if entry.tier and entry.prompt_tokens_over:
            below = [each for each in entries if _is_below(each, entry)]
            if not _is_within(entry, _joined(_window(each) for each in below)):
                return at, "needs beside it, for all of its time, a price of its tier for smaller prompts"
    return None


def plain_windows(entries: Iterable[PriceEntry]) -> list[Window]:
    """When a price without conditions holds: spans of unix seconds, the end outside, apart and in order."""
    return _joined(_window(entry) for entry in entries if _conditions(entry)[1:] == (0, None, ""))


def outside(entries: Sequence[PriceEntry], windows: Sequence[Window]) -> list[PriceEntry]:
    """What of `entries` holds outside of these windows (as `plain_windows` gives them), unchanged there."""
    starts = (0, *(end for _, end in windows))
    ends = (*(start for start, _ in windows), _FOREVER)
    found = []
    for begins, finishes in zip(starts, ends, strict=True):
        for entry in sorted(entries, key=lambda entry: (entry.valid_from, entry.minutes is not None)):
            start, end = max(begins, entry.valid_from), min(finishes, _window(entry)[1])
            if start < end and not any(_is_followed(entry, by, start) for by in entries):
                until = None if end == _FOREVER else end
                found.append(msgspec.structs.replace(entry, valid_from=start, valid_until=until))
    return found


def _decimal_text(value: object, example: str) -> str:
    if isinstance(value, float):
        raise ValueError(f'a float is not exact: write "{value}" in quotes')
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f'expected a decimal in quotes, as in "{example}"')


def _conditions(entry: PriceEntry) -> tuple[int, int, Window | None, str]:
    return entry.valid_from, entry.prompt_tokens_over, entry.minutes, entry.tier


def _window(entry: PriceEntry) -> Window:
    return entry.valid_from, _FOREVER if entry.valid_until is None else entry.valid_until


def _joined(windows: Iterable[Window]) -> list[Window]:
    joined: list[Window] = []
    for start, end in sorted(windows):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _is_within(entry: PriceEntry, windows: Iterable[Window]) -> bool:
    begins, finishes = _window(entry)
    return any(start <= begins and finishes <= end for start, end in windows)


def _is_below(entry: PriceEntry, other: PriceEntry) -> bool:
    """Whether `entry` is what a prompt too small for `other` meets."""
    return not entry.prompt_tokens_over and entry.tier == other.tier and entry.minutes in (None, other.minutes)


def _is_followed(entry: PriceEntry, by: PriceEntry, at: int) -> bool:
    """Whether by `at` (unix seconds) `by` has taken the place of `entry` for the rest of its time."""
    return (
        entry.valid_from < by.valid_from <= at
        and (by.prompt_tokens_over, by.tier) == (entry.prompt_tokens_over, entry.tier)
        and by.minutes in (None, entry.minutes)
        and _window(by)[1] >= _window(entry)[1]
    )
