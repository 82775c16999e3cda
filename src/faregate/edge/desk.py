"""What the gateway answers itself, without a provider: models, records, quotes, what was kept of a response."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from ..core.call import UsageRecord
from ..core.errors import MalformedRequest, NotFound
from ..core.identity import Caller
from ..core.money import TIER_MARK, Price
from ..flow.gate import Gate
from ..wire.heads import RequestHead
from . import intake, kept_responses, quoting
from .house import House
from .intake import HeadFacts
from .listing import Listing, record_body
from .reply import Reply
from .routes import Route

_PATH_SHOWN_BYTES = 200  # of one that leads nowhere


@dataclass(slots=True, kw_only=True)
class Desk:
    """Answers in the words of its `houses`. `find_record` looks up a record of a project, `find_price` the price of a
    model and version that calls were charged by."""

    gate: Gate
    houses: Iterable[House]
    find_record: Callable[[str, str], Awaitable[UsageRecord | None]]
    find_price: Callable[[str, str], Awaitable[Price | None]]
    _listings: dict[str, Listing] = field(init=False)

    def __post_init__(self) -> None:
        price_of = self.gate.tariffs.price_of
        self._listings = {
            house.name: Listing(price_of, house.facts.models, routes_off=house.facts.routes_off)
            for house in self.houses
        }

    async def quote(self, facts: HeadFacts, caller: Caller, body: bytes) -> bytes:
        """What the call that `body` describes would come to. MalformedRequest."""
        project_id = facts.project_id or caller.project_id
        return await quoting.answer(self.gate, facts.house, caller, project_id, body)

    async def look_up(self, route: Route, facts: HeadFacts, caller: Caller, head: RequestHead) -> bytes:
        """The one thing, or the list, that a path names. NotFound, MalformedRequest."""
        listing = self._listings[facts.house.name]
        snapshot = self.gate.snapshots[facts.house.name]
        project_id = facts.project_id or caller.project_id
        if route.operation == "models":
            return listing.models(caller, project_id, snapshot, route.dialect, intake.query_of(head))
        if route.operation == "model":
            return listing.model(route.argument, caller, project_id, snapshot, route.dialect)
        if route.operation == "response":
            query = intake.query_of(head)
            return await kept_responses.answer(self.gate.responses, facts.method, route.argument, project_id, query)
        found = await self.find_record(route.argument, project_id)
        if found is None:
            raise NotFound("There is no such request of this project.", param="id")
        version, _, tier = found.price_version.partition(TIER_MARK)
        price = await self.find_price(found.model, version) if version else None
        return record_body(found, price, tier)


def route_of(facts: HeadFacts) -> Route:
    """What a path leads to. NotFound where that is nothing here."""
    if facts.route is None:
        path = facts.path[:_PATH_SHOWN_BYTES].decode("ascii", "replace")
        raise NotFound(f"There is no '{path}' here. The API is under {' and '.join(facts.house.prefixes)}.")
    if facts.route.is_off:
        raise NotFound(f"'{facts.route.name}' is not served here.")
    return facts.route


def refuse_method(method: str, route: Route, reply: Reply) -> None:
    """Say which methods there are. MalformedRequest, but to OPTIONS."""
    reply.add_headers(f"allow: {', '.join(route.methods)}\r\n".encode())
    if method == "OPTIONS":
        reply.send(204, b"", b"")
        return
    raise MalformedRequest(f"{method} is not allowed here.", kind="method_not_allowed")
