"""What is counted of a caller's calls, and what counting says: one vocabulary for every form of the counters."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

BoundKind = Literal["requests", "tokens", "concurrency", "daily_tokens"]


class Bound(NamedTuple):
    """A limit on one subject. `kind` says what is counted: requests in any 60 seconds, tokens a minute, calls at the
    same time, tokens in a day (UTC). `scope` names the counter, 16 bytes, the same in every process; `subject` whose it
    is (`key`, `project`, `organisation`) and `subject_id` which one."""

    kind: BoundKind
    scope: bytes
    limit: int
    subject: str
    subject_id: str


class Standing(NamedTuple):
    """How a bound stands: what may be used now, and the unix time from which the whole limit is free."""

    bound: Bound
    remaining: int
    reset_at: float


class Demand(NamedTuple):
    """What a call asks of every bound at once: it is one request, and takes one place. `tokens_expected` is what it
    will probably use, for the tokens of a minute; `tokens_max` the most that it can, for those of a day; `day` is the
    one that it counts for, days since 1970 UTC."""

    bounds: tuple[Bound, ...]
    tokens_expected: int
    tokens_max: int
    day: int


class Refused(NamedTuple):
    """Nothing was taken: `bound` is the one that holds the longest, for `retry_after_s` more."""

    bound: Bound
    retry_after_s: float


class Taken(Protocol):
    """What a call has taken of its bounds, until it is over."""

    @property
    def standing(self) -> Standing | None:
        """Of those on requests the one with the least left, after this call; None where there is none."""
        ...

    def settle(self, tokens: int) -> None:
        """The call is over and used so many tokens: its place is free, what it had reserved beyond that goes back. What
        it took as a request stays taken. The second time does nothing. Never fails."""
        ...


class Counters(Protocol):
    """Who has used how much of which limit. A demand takes from all its bounds or from none."""

    async def take(self, demand: Demand, /) -> Taken | Refused:
        """Check all, then take all."""
        ...

    async def peek(self, demand: Demand, /) -> Refused | None:
        """What `take` would say, None where it would be taken. Nothing is taken."""
        ...

    def standing(self, bounds: Sequence[Bound], /) -> Standing | None:
        """Of the bounds on requests the one with the least left; None where there is none. Nothing is taken."""
        ...
