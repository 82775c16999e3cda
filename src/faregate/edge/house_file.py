"""The file of a house: what it may say, what it leaves to the default house, and what is no house."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..core.money import PriceEntry
from ..core.plans import PLAN_NAME, Plan
from ..settings_prices import PriceEntrySettings, RatesSettings, entries_of, flaw_of
from ..settings_reader import Reader
from ..settings_source import SettingsError, TomlSource
from .routes import NAMES as ROUTE_NAMES

FOLDER = Path(__file__).parent / "houses"
DEFAULT = "faregate"
# What the answer's framing and content say, and what is said of errors, of streams and in Anthropic's dialect, whatever
# the house.
_TAKEN = frozenset(
    {
        *("allow", "cache-control", "connection", "content-encoding", "content-length", "content-type", "date"),
        *("keep-alive", "location", "request-id", "retry-after", "retry-after-ms", "set-cookie", "trailer"),
        *("transfer-encoding", "upgrade", "vary", "x-accel-buffering", "x-should-retry"),
    }
)
# Fields of requests that say something already: of the message, the connection, the key, the dialect, to the gateway.
_SPOKEN_FOR = frozenset(
    {
        *("accept", "access-control-request-method", "anthropic-beta", "anthropic-version", "authorization"),
        *("connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host"),
        *("idempotency-key", "origin", "te", "transfer-encoding", "upgrade", "user-agent", "x-api-key"),
        *("x-client-request-id", "x-faregate-strict", "x-faregate-structured", "x-forwarded-for", "x-goog-api-key"),
        "x-request-id",
    }
)
_MERGED = ("headers", "request_headers", "rate_headers", "words", "urls", "models", "images", "recharge", "usage")

HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}\Z")]
AnyHeaderName = Annotated[str, msgspec.Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{0,200}\Z")]
Prefix = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]{1,100}){1,10}\Z")]
KeyPrefix = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z")]
HouseName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Status = Annotated[int, msgspec.Meta(ge=400, le=599)]
Word = Annotated[str, msgspec.Meta(max_length=100)]
Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[!-~]{1,2000}\Z")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Dollars = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?\Z")]
Size = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}\Z")]
Member = Literal["message", "type", "param", "code", "request_id"]
UrlName = Literal["top_up", "docs", "dashboard", "support", "privacy"]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused."""


class HeaderNames(_Table, frozen=True):
    """What the house calls each fact of an answer."""

    request_id: Annotated[tuple[HeaderName, ...], msgspec.Meta(min_length=1)]
    region: HeaderName
    replica: HeaderName
    latency_ms: HeaderName
    token_rate: HeaderName
    failover: HeaderName
    model_used: HeaderName
    credits_used: HeaderName
    adjusted: HeaderName
    dropped: HeaderName
    fallback_from: HeaderName
    fallback_depth: HeaderName
    replayed: HeaderName


class RequestHeaderNames(_Table, frozen=True):
    """In which fields clients say what; the first that is there counts."""

    project_id: tuple[HeaderName, ...]
    region_hint: tuple[HeaderName, ...]
    no_retention: tuple[HeaderName, ...]


class RateHeaders(_Table, frozen=True):
    """How the house says what is left of the requests of a minute: not at all where a name is empty. The time from
    which all is free is a unix second (`epoch`), or how long that is from now, as OpenAI says it (`duration`)."""

    limit: AnyHeaderName
    remaining: AnyHeaderName
    reset: AnyHeaderName
    reset_form: Literal["epoch", "duration"] = "epoch"


class AddressNet(_Table, frozen=True):
    """So many requests in `window_s` from one address: of `all`, or of those `without_key`."""

    requests: Count
    window_s: Seconds
    counts: Literal["all", "without_key"] = "without_key"


class ModelsShown(_Table, frozen=True):
    """How models are listed: `id` as `bare` names or with their vendor before them; those that the `key` may call, or
    every `active` one. Where `only` names some, the house has no others."""

    id_form: Literal["bare", "vendor"]
    scope: Literal["key", "active"]
    only: tuple[Sentence, ...] = ()


class ImageLimits(_Table, frozen=True):
    """What a request for images may ask, within what the model takes; nobody asks it before there are image routes.
    Empty lists are no bound."""

    prompt_characters_max: Count | None = None
    images_max: Count | None = None
    sizes: tuple[Size, ...] = ()
    qualities: tuple[Word, ...] = ()


class Recharge(_Table, frozen=True):
    """What credit may be bought, dollars, and after how many days a promotion ends that says no date (0: never);
    nobody asks it before there are payments."""

    minimum: Dollars
    promotion_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0


class UsageExtras(_Table, frozen=True):
    """What `usage` has beside OpenAI's own members: `prompt_cache_hit_tokens` and `prompt_cache_miss_tokens`, whose sum
    is `prompt_tokens` (contract.md 5.3)."""

    cache_split: bool


class HouseFile(_Table, frozen=True):
    """A house as its file has it. `errors`: kind -> status, type, code; `words`: kind -> what is said instead of the
    gateway's own message. `routes_off` are paths under the prefixes, as docs/wire.md has them. Where it `keeps_answers`
    not, an idempotency key is not heeded: to repeat an answer is to have kept it (contract.md 7.6)."""

    name: HouseName
    prefixes: Annotated[tuple[Prefix, ...], msgspec.Meta(min_length=1)]
    key_prefix: KeyPrefix
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1)]
    headers: HeaderNames
    request_headers: RequestHeaderNames
    rate_headers: RateHeaders
    errors: dict[str, tuple[Status, Word, Word]]
    words: dict[str, Sentence]
    urls: dict[UrlName, Url]
    address_net: AddressNet
    bad_keys: AddressNet
    models: ModelsShown
    images: ImageLimits
    recharge: Recharge
    usage: UsageExtras
    routes_off: tuple[str, ...] = ()
    needs_json_type: bool = False
    keeps_answers: bool = True
    longest_request_s: Seconds | None = None
    default_plan: str = ""
    paid_plan: str = ""
    plans: dict[str, Plan] = {}
    request_presets: tuple[Count, ...] = ()


_NAMED = {"errors": tuple[Status, Word, Word], "words": Sentence, "urls": Url, "plans": Plan}

Prices = dict[str, tuple[PriceEntry, ...]]


class UnknownHouse(SettingsError):
    """A name that is no shipped house's."""


def house_path(house: str, directory: Path) -> Path:
    """The file of a house that settings name: one that is shipped, or a path, which ends in .toml. UnknownHouse."""
    if house.endswith(".toml"):
        return directory / Path(house).expanduser()
    if house not in shipped_houses():
        known = ", ".join(shipped_houses())
        raise UnknownHouse(house, 0, "", f"there is no such house; there are {known}, and files that end in .toml")
    return FOLDER / f"{house}.toml"


def shipped_houses() -> list[str]:
    """The names of the houses that come with the gateway."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def read_house(path: Path) -> tuple[HouseFile, Prices]:
    """What a file says, and what the default house says where it is silent, its plans and prices aside. An error table
    is whole: a kind that it forgets would be told of in words that are not the house's. SettingsError."""
    default = Reader(TomlSource.read(FOLDER / f"{DEFAULT}.toml")).source.tree
    reader = Reader(TomlSource.read(path))
    tree: dict[str, Any] = {"name": path.stem, **reader.source.tree}
    prices = _price_list(reader)
    tree.pop("prices", None)
    _check_kinds(reader, default["errors"])
    for name, shape in _NAMED.items():
        reader.mapping(name, shape)  # here a mistake is found with its name
    for name in _MERGED:
        tree[name] = {**default.get(name, {}), **reader.table(name)}
    facts: HouseFile = reader.convert({**_silent(default, tree), **tree}, HouseFile, ())
    _check(reader, facts, default["errors"])
    return facts, prices


def _silent(default: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """What the default house says of what the file does not; whose plans a house has, it says itself."""
    own = ("name", "plans", "default_plan", "paid_plan", "request_presets", "routes_off", "prices")
    return {key: value for key, value in default.items() if key not in tree and key not in own}


def _check_kinds(reader: Reader, kinds: dict[str, Any]) -> None:
    for table in ("errors", "words"):
        for kind in reader.table(table):
            if kind not in kinds:
                raise reader.source.fail((table, kind), "there is no such kind of error")


def _check(reader: Reader, facts: HouseFile, kinds: Iterable[str]) -> None:
    """What no type says."""
    fail = reader.source.fail
    missing = next((kind for kind in kinds if kind not in facts.errors), None)
    if missing is not None:
        raise fail(("errors", missing), "is missing: a table of errors has every kind")
    for index, name in enumerate(facts.routes_off):
        if name not in ROUTE_NAMES:
            raise fail(("routes_off", index), "there is no such route")
    for key in ("default_plan", "paid_plan"):
        plan = getattr(facts, key)
        if plan and plan not in facts.plans:
            raise fail((key,), f"the house has no plan '{plan}'")
    if facts.plans and not (facts.default_plan and facts.paid_plan):
        raise fail(("default_plan" if not facts.default_plan else "paid_plan",), "is missing: the house has plans")
    for name in facts.plans:
        if not PLAN_NAME.fullmatch(name):
            raise fail(("plans", name), "a plan's name is letters, digits, dots, - and _")
    if "message" not in facts.members:
        raise fail(("members",), "an error has a message")
    _check_names(reader, facts)
    _check_request_names(reader, facts)
    rates = facts.rate_headers
    if len({bool(rates.limit), bool(rates.remaining), bool(rates.reset)}) > 1:
        raise fail(("rate_headers",), "all three headers have a name, or none has")
    for kind, sentence in facts.words.items():
        try:
            sentence.format(**{f"{name}_url": url for name, url in facts.urls.items()})
        except (LookupError, ValueError, AttributeError, TypeError):
            raise fail(("words", kind), "names something that is not in [urls]") from None


def _check_names(reader: Reader, facts: HouseFile) -> None:
    """Each fact of an answer has a header of its own, and none has one that is the wire's."""
    found: dict[str, tuple[str, str]] = {}
    ids = [name.lower() for name in facts.headers.request_id]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            raise reader.source.fail(("headers", "request_id", index), f"'{name}' is there already")
    for at, name in _header_names(facts):
        if name.lower() in _TAKEN or name.lower().startswith("access-control-"):
            raise reader.source.fail(at, f"'{name}' is not for a house to say")
        other = found.setdefault(name.lower(), at)
        if other != at:
            is_own = at[1] in reader.table(at[0])
            mine, others = (at, other) if is_own else (other, at)
            raise reader.source.fail(mine, f"'{name}' is what {'.'.join(others)} has")


def _check_request_names(reader: Reader, facts: HouseFile) -> None:
    """A field of a request says one thing."""
    found: dict[str, str] = {}
    for field in facts.request_headers.__struct_fields__:
        at = ("request_headers", field)
        for name in getattr(facts.request_headers, field):
            if name.lower() in _SPOKEN_FOR:
                raise reader.source.fail(at, f"'{name}' is not for a house to say")
            other = found.setdefault(name.lower(), field)
            if other != field:
                is_own = field in reader.table("request_headers")
                mine, others = (at, other) if is_own else (("request_headers", other), field)
                raise reader.source.fail(mine, f"'{name}' is what request_headers.{others} has")


def _header_names(facts: HouseFile) -> Iterator[tuple[tuple[str, str], str]]:
    """The names of header fields that an answer may have, and where each stands."""
    rates = facts.rate_headers
    yield from ((("headers", "request_id"), name) for name in facts.headers.request_id)
    for field in facts.headers.__struct_fields__[1:]:
        yield ("headers", field), getattr(facts.headers, field)
    for field, name in (("limit", rates.limit), ("remaining", rates.remaining), ("reset", rates.reset)):
        if name:
            yield ("rate_headers", field), name


def _price_list(reader: Reader) -> Prices:
    """[prices."MODEL"], or [[prices."MODEL"]] for one with dates or conditions; see settings_prices."""
    found = {}
    for model, said in reader.mapping("prices", RatesSettings | tuple[PriceEntrySettings, ...]).items():
        price, prices = (said, ()) if isinstance(said, RatesSettings) else (None, said)
        flaw = flaw_of(price, prices)
        if flaw is not None:
            raise reader.source.fail(("prices", model, *flaw[0][1:]), flaw[1])
        found[model] = entries_of(price, prices)
    return found
