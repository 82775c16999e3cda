"""Money in integers: prices in pico-USD, amounts in nano-USD, and the only place where a cost is rounded.

A price is whole pico-USD (1e-12) per unit, so that $X per million tokens is exactly X * 1e6 pico-USD a token, down to
lists that go beyond the nano-dollar; an amount is whole nano-USD (1e-9) in a signed 64-bit integer. A cost is summed in
full precision and rounded up once, at the end: at most one nano-dollar a request (money.md section 1). No float, ever.
"""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from .tiers import ORDINARY, tier_of
from .usage import NO_USAGE, Usage

PICO_PER_NANO = 1_000
NANO_PER_USD = 1_000_000_000
PICO_PER_USD = NANO_PER_USD * PICO_PER_NANO
AMOUNT_NANO_MAX = 2**63 - 1
MILLION = 1_000_000
TIER_MARK = "@"  # in the version that a charge names, before its service tier
_MILLIS_PER_S = 1_000
_S_PER_HOUR = 3_600
_MILLIS_AN_HOUR = _MILLIS_PER_S * _S_PER_HOUR
_MANY_TOKENS = 2**31
_AMOUNT = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,9}))?\Z")
_PRICE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,18})?\Z")


class MoneyError(ValueError):
    """A text that is no amount or price, or one that is finer or larger than can be kept exactly."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one unit of each usage class costs, pico-USD. None: the class has no price of its own and is charged as the
    class it is part of (`fallbacks` below); for what is part of nothing that is a refusal at admission, never free.

    Token classes are per token; `second` is per second of sound or film, and `hour` per hour of the same where a list's
    price is no whole number of pico-USD a second ($0.04 an hour); `image`, `character`, `page`, `search` and `request`
    are per piece.
    """

    input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    image: int | None = None
    second: int | None = None
    hour: int | None = None
    character: int | None = None
    page: int | None = None
    search: int | None = None
    request: int | None = None

    def pico_of(self, name: str) -> int:
        """The price of a class, or of the class it is charged as; 0 where neither is priced."""
        pico = getattr(self, name)
        if pico is not None:
            return pico
        part_of = _PART_OF.get(name)
        return 0 if part_of is None else self.pico_of(part_of)


# A class without a price of its own is charged as the class that it is part of.
_PART_OF = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
# Classes whose prices are listed per million units; those of all others are per piece.
LISTED_PER_MILLION = frozenset((*_PART_OF, "input", "output", "character"))
_INPUTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input", "image_input")
_OUTPUTS = ("output", "reasoning", "audio_output", "image_output")
_COUNTERS = (  # of Usage, each with the class that prices it
    ("input", "input"),
    ("cache_read", "cache_read"),
    ("cache_write", "cache_write_5m"),
    ("cache_write_1h", "cache_write_1h"),
    ("output", "output"),
    ("reasoning", "reasoning"),
    ("audio_input", "audio_input"),
    ("audio_output", "audio_output"),
    ("image_input", "image_input"),
    ("image_output", "image_output"),
    ("images", "image"),
    ("characters", "character"),
    ("pages", "page"),
    ("searches", "search"),
    ("requests", "request"),
)
_counts_of = operator.attrgetter(*(counter for counter, _ in _COUNTERS))


class PriceEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rates and when they hold: for prompts of more than `prompt_tokens_over` tokens, from `valid_from` on and before
    `valid_until` (unix seconds), between two minutes of the UTC day, for a service tier."""

    rates: Rates
    prompt_tokens_over: int = 0
    valid_from: int = 0
    valid_until: int | None = None
    minutes: tuple[int, int] | None = None
    tier: str = ""

    def holds_at(self, at: int, tier: str) -> bool:
        """Whether the entry may apply to a request admitted at `at` (unix seconds), whatever its size."""
        if at < self.valid_from or (self.valid_until is not None and at >= self.valid_until) or tier != self.tier:
            return False
        if self.minutes is None:
            return True
        start, end = self.minutes
        minute = at % 86_400 // 60
        return start <= minute < end if start <= end else minute >= start or minute < end


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs: its entries, in no order that matters, and the version that a charge names."""

    version: str
    entries: tuple[PriceEntry, ...]

    def applicable(self, at: int, tier: str = "") -> tuple[PriceEntry, ...]:
        """The entries for a request admitted at `at`, fixed from then on; by rising size. Where the tier has none,
        those without a tier; of several for one size, what began last, then what is narrower in the day, wins."""
        found = [entry for entry in self.entries if entry.holds_at(at, tier)]
        if not found:
            return self.applicable(at) if tier else ()
        best: dict[int, PriceEntry] = {}
        for entry in sorted(found, key=lambda entry: (entry.valid_from, entry.minutes is not None)):
            best[entry.prompt_tokens_over] = entry
        return tuple(best[size] for size in sorted(best))

    def changes_after(self, at: int) -> int | None:
        """When, after `at`, other entries may apply (unix seconds); None: never."""
        moments = [moment for entry in self.entries for moment in (entry.valid_from, entry.valid_until or 0)]
        midnight = at - at % 86_400
        for entry in self.entries:
            for minute in entry.minutes or ():
                moments += (midnight + minute * 60, midnight + 86_400 + minute * 60)
        return min((moment for moment in moments if moment > at), default=None)


def rates_for(entries: Iterable[PriceEntry], prompt_tokens: int) -> Rates:
    """The rates of a prompt of that size: those of the highest threshold it is over, for all of its tokens. LookupError
    where there is none."""
    over = [entry for entry in entries if entry.prompt_tokens_over == 0 or prompt_tokens > entry.prompt_tokens_over]
    if not over:
        raise LookupError("no price")
    return max(over, key=lambda entry: entry.prompt_tokens_over).rates


def charge_nano(usage: Usage, rates: Rates) -> int:
    """What a usage costs, nano-USD, rounded up once."""
    return _charge_nano(usage, _Picos.of(rates))


def _charge_nano(usage: Usage, picos: "_Picos", call_pico: int = 0) -> int:
    pico = call_pico + sum(map(operator.mul, _counts_of(usage), picos.by_counter))
    if not usage.milliseconds:
        return -(-pico // PICO_PER_NANO)
    return -(-(pico * _MILLIS_AN_HOUR + usage.milliseconds * picos.an_hour) // (PICO_PER_NANO * _MILLIS_AN_HOUR))


class _Picos(msgspec.Struct, frozen=True):
    """Rates by the counters that they price, fallbacks followed."""

    by_counter: tuple[int, ...]
    an_hour: int

    @classmethod
    def of(cls, rates: Rates) -> "_Picos":
        an_hour = rates.pico_of("second") * _S_PER_HOUR + rates.pico_of("hour")
        return cls(tuple(rates.pico_of(name) for _, name in _COUNTERS), an_hour)


def ceiling_nano(entries: Iterable[PriceEntry], input_tokens_max: int, output_tokens_max: int) -> int:
    """The most that a call of at most so many tokens can cost, nano-USD: every token in its dearest class, at the
    dearest entry that a prompt of at most that size can meet (money.md section 4). LookupError where none has it."""
    return _ceiling_nano([_Band.of(entry) for entry in entries], input_tokens_max, output_tokens_max)


def _ceiling_nano(bands: Sequence["_Band"], input_tokens_max: int, output_tokens_max: int) -> int:
    if len(bands) == 1 and not bands[0].prompt_tokens_over:
        band = bands[0]
        return -(-(input_tokens_max * band.input + output_tokens_max * band.output + band.request) // PICO_PER_NANO)
    ceilings = [
        input_tokens_max * band.input + output_tokens_max * band.output + band.request
        for band in bands
        if input_tokens_max >= band.prompt_tokens_over
    ]
    if not ceilings:
        raise LookupError("no price")
    return -(-max(ceilings) // PICO_PER_NANO)


class _Band(msgspec.Struct, frozen=True):
    """An entry, computed with: the dearest input and output class, and the price of the call itself, pico-USD."""

    prompt_tokens_over: int
    input: int
    output: int
    request: int
    picos: _Picos

    @classmethod
    def of(cls, entry: PriceEntry) -> "_Band":
        rates = entry.rates
        dearest_input = max(map(rates.pico_of, _INPUTS))
        dearest_output = max(map(rates.pico_of, _OUTPUTS))
        return cls(entry.prompt_tokens_over, dearest_input, dearest_output, rates.request or 0, _Picos.of(rates))


class Tariff:
    """What a price comes to for requests admitted at one time, ready to compute with: the same as `ceiling_nano` and
    `charge_nano`. It holds until `until` (unix seconds; None: for ever). Its `version` is the price's, with the tier
    where it is for one. LookupError where the price has no entry.

    Where the price has tiers, those of one time know each other (`Tariff.of`): a call is held for by what it asks for
    and charged by what its answer names, both by the prices of its admission.
    """

    __slots__ = ("_bands", "_family", "_others", "_rates", "has_bands", "until", "version")

    def __init__(self, price: Price, at: int, tier: str = "") -> None:
        entries = price.applicable(at, tier)
        if not entries:
            raise LookupError("no price")
        tier = entries[0].tier  # none, where that tier has no price at that time
        self.version = f"{price.version}{TIER_MARK}{tier}" if tier else price.version
        self.until = price.changes_after(at)
        self._bands = tuple(_Band.of(entry) for entry in entries)
        self._rates = tuple((entry.prompt_tokens_over, _rate_text(entry.rates)) for entry in entries)
        self.has_bands = len(self._bands) > 1  # the price depends on how large the prompt is
        self._others: tuple[tuple[_Band, ...], ...] = ()  # what may be charged in its place, for the ceiling
        self._family: _Family | None = None

    @classmethod
    def of(cls, price: Price, at: int) -> "Tariff":
        """The tariff of calls that ask for no tier, with those of the tiers beside it. LookupError."""
        plain = cls(price, at)
        names = {entry.tier for entry in price.entries if entry.tier}
        if not names:
            return plain
        tiers = {ORDINARY: cls(price, at), **{name: cls(price, at, name) for name in names}}
        family = _Family(plain, cls(price, at), tiers)
        for each in (plain, family.open, *tiers.values()):
            each._family = family
            family.open.expect(each)
        for name in names:
            tiers[name].expect(plain)  # a provider may have no room in a tier, or cannot be told of it
        return plain

    @property
    def has_tiers(self) -> bool:
        """Whether a call may be charged otherwise than it was held for, by what its answer says."""
        return self._family is not None

    def asked(self, name: str) -> "Tariff":
        """What holds for a call that asks for a service tier by that name; "": for none."""
        family = self._family
        if family is None:
            return self
        return family.tiers.get(tier_of(name, family.tiers), family.open) if name else family.plain

    def served(self, name: str) -> "Tariff | None":
        """What a call is charged by whose answer names that tier; None where that says nothing."""
        return None if self._family is None else self._family.tiers.get(tier_of(name, self._family.tiers))

    def expect(self, other: "Tariff") -> None:
        """A call under this one may be charged by `other`: from now on the ceiling covers both."""
        if other._bands != self._bands and other._bands not in self._others:
            self._others += (other._bands,)

    def ceiling_nano(self, input_tokens_max: int, output_tokens_max: int) -> int:
        """The most that a call of at most so many tokens can cost, nano-USD, whichever tier is expected to serve it."""
        amount = _ceiling_nano(self._bands, input_tokens_max, output_tokens_max)
        for bands in self._others:
            amount = max(amount, _ceiling_nano(bands, input_tokens_max, output_tokens_max))
        return amount

    def rate_of(self, prompt_tokens: int) -> str:
        """What a million tokens cost, USD, where the prompt is so large: `input=3;cached=0.3;output=15`."""
        found = self._rates[0]
        for larger in self._rates[1:]:
            if prompt_tokens > larger[0]:
                found = larger
        return found[1]

    def output_tokens_for(self, amount_nano: int, input_tokens_max: int) -> int:
        """How many output tokens, beside that input, a sum covers whatever their class; 0 where it is not enough."""
        left_pico = amount_nano * PICO_PER_NANO
        fits = [
            (left_pico - input_tokens_max * band.input - band.request) // band.output if band.output else _MANY_TOKENS
            for bands in (self._bands, *self._others)
            for band in bands
            if input_tokens_max >= band.prompt_tokens_over
        ]
        return max(0, min(fits, default=0))

    def charge_nano(self, usage: Usage) -> int:
        """What a call of that usage costs, nano-USD, rounded up once. The price of the call itself is in it, whether
        the usage counts it or not; a call that delivered nothing costs nothing."""
        if usage is NO_USAGE:
            return 0
        bands = self._bands
        band = bands[0]
        if len(bands) > 1:
            prompt_tokens = usage.prompt
            for larger in bands[1:]:
                if prompt_tokens > larger.prompt_tokens_over:
                    band = larger
        return _charge_nano(usage, band.picos, 0 if usage.requests else band.request)


class _Family(msgspec.Struct, frozen=True):
    """The tariffs of one price at one time: of calls that ask for no service tier, of those that say that any will do,
    and of each tier, the ordinary one among them."""

    plain: Tariff
    open: Tariff
    tiers: Mapping[str, Tariff]


def _rate_text(rates: Rates) -> str:
    shown = (("input", "input"), ("cached", "cache_read"), ("output", "output"))
    said = ((name, getattr(rates, rate)) for name, rate in shown)
    return ";".join(f"{name}={format_price(pico, MILLION)}" for name, pico in said if pico is not None)


def parse_amount(text: str) -> int:
    """A decimal text in USD ("25.00", "-0.000000001") as nano-USD. MoneyError."""
    found = _AMOUNT.match(text)
    if found is None:
        raise MoneyError(f"{text!r} is no amount of dollars: digits, and at most 9 behind the point")
    sign, whole, part = found.groups()
    nano = int(whole) * NANO_PER_USD + int((part or "").ljust(9, "0"))
    if nano > AMOUNT_NANO_MAX:
        raise MoneyError(f"{text} is more than an account can hold")
    return -nano if sign else nano


def format_amount(nano: int) -> str:
    """nano-USD as a plain decimal text in USD, without trailing zeros: "25", "0.000000001"."""
    whole, part = divmod(abs(nano), NANO_PER_USD)
    text = f"{whole}.{part:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nano < 0 else text


def parse_price(text: str, per: int = 1) -> int:
    """A decimal text in USD per `per` units as pico-USD a unit. MoneyError where that is not a whole number of them:
    a price is never rounded to the unit (contract.md 7.2)."""
    if _PRICE.match(text) is None:
        raise MoneyError(f"{text!r} is no price in dollars")
    pico = Decimal(text) * PICO_PER_USD / per
    if pico != int(pico):
        raise MoneyError(f"{text} per {per} is finer than a pico-dollar a unit")
    return int(pico)


def format_price(pico: int, per: int = MILLION) -> str:
    """pico-USD a unit as a plain decimal text in USD per `per` units."""
    text = f"{Decimal(pico) * per / PICO_PER_USD:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_rate(name: str, pico: int) -> str:
    """The price of a class of Rates as lists have it: USD per million tokens or characters, of all else per piece."""
    return format_price(pico, MILLION if name in LISTED_PER_MILLION else 1)
