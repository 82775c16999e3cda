"""GET /v1/models and /v1/models/{id}: what this key may call and what it costs (contract.md 1.9, 7.2); and what
GET /v1/requests/{id} says of a request."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

import msgspec

from ..core.call import UsageRecord
from ..core.catalog import Model, Snapshot
from ..core.errors import NotFound
from ..core.identity import Caller
from ..core.money import Price, PriceEntry, Rates, format_amount, format_rate
from ..core.usage import COUNTERS
from ..flow.admission import may_use
from .foreign_listings import LISTINGS
from .house_file import ModelsShown

_ALWAYS_SHOWN = ("input", "cache_read", "cache_write", "output", "reasoning")
_NO_QUERY: Mapping[str, str] = MappingProxyType({})
_RARE = tuple(name for name in COUNTERS if name not in _ALWAYS_SHOWN)


class Listing:
    """The models of a snapshot as a house's clients see them, made once for as long as their prices hold. `price_of`
    tells what a model is charged by, `shown` how the house lists models, `routes_off` what it does not serve."""

    def __init__(
        self,
        price_of: Callable[[Model], Price | None],
        shown: ModelsShown,
        clock: Callable[[], float] = time.time,
        routes_off: Collection[str] = (),
    ) -> None:
        self._price_of = price_of
        self._has_vendor = shown.id_form == "vendor"
        self._all = shown.scope == "active"
        self._clock = clock
        self._routes_off = routes_off
        self._snapshot: Snapshot | None = None
        self._until: float | None = None  # unix seconds; None: for ever
        self._entries: dict[str, msgspec.Raw] = {}

    def models(
        self,
        caller: Caller,
        project_id: str,
        snapshot: Snapshot,
        dialect: str = "openai_chat",
        query: Mapping[str, str] = _NO_QUERY,
    ) -> bytes:
        """The list that this key may call while it bills a project, or all that the house has, by id, in the form of a
        dialect; all of it, or where the dialect has pages the one that `query` asks for. MalformedRequest."""
        if dialect in LISTINGS:
            models = [
                msgspec.structs.replace(model, id=self._id(model))
                for name, model in sorted(snapshot.models.items())
                if self._lists(caller, project_id, name, snapshot)
            ]
            return msgspec.json.encode(LISTINGS[dialect].page(models, query, self._routes_off))
        entries = [
            entry for name, entry in self._of(snapshot).items() if self._lists(caller, project_id, name, snapshot)
        ]
        return msgspec.json.encode({"object": "list", "data": entries})

    def model(
        self, name: str, caller: Caller, project_id: str, snapshot: Snapshot, dialect: str = "openai_chat"
    ) -> bytes:
        """One model, by any of its names. NotFound where there is none that this key may call."""
        model_id = snapshot.resolve(name)
        if model_id is None or not self._lists(caller, project_id, model_id, snapshot):
            raise NotFound(f"The model '{name}' does not exist.", kind="model_not_found", param="model")
        if dialect in LISTINGS:
            return msgspec.json.encode(LISTINGS[dialect].one(snapshot.models[model_id], name, self._routes_off))
        entry = msgspec.json.decode(self._of(snapshot)[model_id])
        entry["id"] = name
        return msgspec.json.encode(entry)

    def _lists(self, caller: Caller, project_id: str, model_id: str, snapshot: Snapshot) -> bool:
        return self._all or may_use(caller, project_id, model_id, snapshot)

    def _id(self, model: Model) -> str:
        is_bare = not self._has_vendor or model.id.startswith(f"{model.vendor}/")
        return model.id if is_bare else f"{model.vendor}/{model.id}"

    def _of(self, snapshot: Snapshot) -> dict[str, msgspec.Raw]:
        now = self._clock()
        if snapshot is not self._snapshot or (self._until is not None and now >= self._until):
            priced = [(model, self._price_of(model)) for _, model in sorted(snapshot.models.items())]
            changes = [price.changes_after(int(now)) for _, price in priced if price is not None]
            self._until = min((change for change in changes if change is not None), default=None)
            self._entries = {model.id: _entry(model, self._id(model), price, int(now)) for model, price in priced}
            self._snapshot = snapshot
        return self._entries


def _entry(model: Model, shown_id: str, price: Price | None, at: int) -> msgspec.Raw:
    entry: dict[str, object] = {
        "id": shown_id,
        "object": "model",
        "created": model.created,
        "owned_by": model.vendor,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "family": model.family or None,
        "kind": model.kind,
        "tags": list(model.tags),
        "shutdown_date": model.shutdown_date,
    }
    entries = () if price is None else _prices(price.applicable(at))
    if entries:
        smallest, *larger = entries
        entry["pricing"] = {name: rate for name, rate in smallest.items() if name != "prompt_tokens_over"}
        if larger:
            entry["pricing"] |= {"larger_prompts": larger}
    return msgspec.Raw(msgspec.json.encode(entry))


def record_body(record: UsageRecord, price: Price | None, tier: str) -> bytes:
    """GET /v1/requests/{id}: the record of one's own request, and the price that it was charged by, of a service tier
    where it was one's."""
    usage = record.usage
    return msgspec.json.encode(
        {
            "id": record.id,
            "object": "request",
            "created": int(record.received_at),
            "operation": record.operation,
            "dialect": record.dialect,
            "model_asked": record.model_asked,
            "model": record.model or None,
            "target": {
                "provider": record.provider,
                "upstream_model": record.upstream_model,
                "region": record.region,
                "replica": record.replica,
            }
            if record.provider
            else None,
            "attempts": record.attempts,
            "stream": record.stream,
            "status": record.status,
            "error_kind": record.error_kind,
            "usage": {
                "input": usage.input,
                "cache_read": usage.cache_read,
                "cache_write": usage.cache_write,
                "output": usage.output,
                "reasoning": usage.reasoning,
                **{name: count for name in _RARE if (count := getattr(usage, name))},
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.completion,
                "total_tokens": usage.prompt + usage.completion,
                "source": usage.source,
                "suspect": usage.suspect,
            },
            "held": format_amount(record.hold_nano),
            "cost": format_amount(record.cost_nano),
            "price_version": record.price_version or None,
            "prices": [] if price is None else _prices(price.applicable(int(record.received_at), tier)),
            "first_byte_ms": record.first_byte_ms,
            "total_ms": record.total_ms,
            "bytes_in": record.bytes_in,
            "bytes_out": record.bytes_out,
            "key_id": record.key_id,
            "project_id": record.project_id,
            "client_request_id": record.client_request_id,
            "upstream_request_id": record.upstream_request_id,
        }
    )


def _prices(entries: Iterable[PriceEntry]) -> list[dict[str, object]]:
    """The entries of a request, by the size of prompt from which each holds: dollars per million tokens or characters,
    of all else per piece, second or hour."""
    return [{"prompt_tokens_over": entry.prompt_tokens_over, **_rates(entry.rates)} for entry in entries]


def _rates(rates: Rates) -> dict[str, str]:
    named = ((name, getattr(rates, name)) for name in rates.__struct_fields__)
    return {name: format_rate(name, pico) for name, pico in named if pico is not None}
