"""Same key, same body: one run, one charge.

Theory of operation. A call under an idempotency key runs in a strand of its own and writes its answer into a Run,
which remembers it. Every client is a Follower of the run, the first one too: it is given what there is from the
beginning, and each later piece as it comes. So a client that leaves ends nothing, and one that is slow holds nothing
up: it reads on from where it is.

What is remembered is bounded, all runs together. Over the bound the oldest answers that nobody reads are forgotten; the
key's row stays, and a repeat is told which request had the answer. Where that is not enough, the run that grows is
remembered no longer: it is an ordinary answer from there on, whose first client may hold up the provider, and joiners
that are behind are cut. Where the operator wants it, what is remembered is stored too, and a repeat that finds only the
row begins a run as ever, which is then given the stored answer instead of asking a provider.

A key is charged at most once. Kept is therefore every answer that was charged, whole or broken off, and what a provider
was asked and refused for good; a 5xx or 429 that cost nothing, and what was refused before any provider was asked,
frees it.
"""

import hashlib
import re
import time
from collections.abc import Callable

from ..core.call import UsageRecord
from ..core.errors import GatewayError, KeyTaken, MalformedRequest, Overloaded, UpstreamRefused
from ..stores.idempotency import Claim, IdempotencyKeys, KeptAnswer
from ..wire.heads import RequestHead
from .keyed_run import Run, gone
from .unattended import Unattended

KEPT_S = 86_400.0
HEADER = "Idempotency-Key"
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_RUN_BYTES = 2048  # what a run takes besides its answer
_RUNNING_SLACK_S = 60.0  # beyond the longest request, for what comes after its deadline


def key_of(presented: bytes) -> str:
    """The idempotency key that a head has. MalformedRequest."""
    if not _KEY.fullmatch(presented):
        raise MalformedRequest(f"'{HEADER}' must be 1 to 255 visible ASCII characters.", param=HEADER)
    return presented.decode("ascii")


def fingerprint_of(house: str, head: RequestHead, body: bytes) -> bytes:
    """What two requests have in common that ask for the same; each house answers in words of its own."""
    digest = hashlib.sha256(b"%b %b %b?%b\n" % (house.encode(), head.method, head.path, head.query))
    digest.update(body)
    return digest.digest()


Scope = tuple[str, str]


class Runs:
    """The runs of this process that can be joined or repeated, by project and key."""

    def __init__(
        self,
        keys: IdempotencyKeys,
        unattended: Unattended,
        *,
        bytes_max: int,
        longest_request_s: float,
        epoch: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bytes_kept = 0
        self._keys = keys
        self._unattended = unattended
        self._bytes_max = bytes_max
        self._running_s = longest_request_s + _RUNNING_SLACK_S
        self._epoch = epoch
        self._clock = clock
        self._known: dict[Scope, Run] = {}
        self._ended: dict[Scope, Run] = {}  # of those, the ones that are over, oldest first

    def find(self, project_id: str, key: str, fingerprint: bytes) -> Run | None:
        """The run under a key; None where this process knows of none. KeyTaken."""
        run = self._known.get((project_id, key))
        if run is None:
            return None
        if run.begun_for not in self._unattended and run.claim.expires_at <= self._clock():
            self._forget(run)
            return None
        if run.claim.fingerprint != fingerprint:
            raise KeyTaken("This idempotency key was used for another request.")
        if run.is_outgrown:
            raise gone(run.request_id)
        return run

    def begin(self, project_id: str, key: str, fingerprint: bytes, record: UsageRecord) -> Run:
        """A run for the first request under a key. Overloaded where those under way hold too much: their clients may be
        gone, so the connections do not count it."""
        now = self._clock()
        claim = Claim(project_id, key, fingerprint, record.id, self._epoch, now, now + KEPT_S, now + self._running_s)
        run = Run(self, claim, record)
        if not self._unattended.begin(record.id, run, record.bytes_in):
            raise Overloaded("The gateway holds as many bodies as it can.", retry_after_s=1.0)
        self._known[project_id, key] = run
        self.grown(run)
        return run

    async def claim(self, run: Run) -> KeptAnswer | None:
        """Have the key, on the disk, before a provider is asked; the answer where the key has a stored one. KeyTaken,
        Overloaded."""
        earlier = await self._keys.claim(run.claim)
        if earlier is None:
            run.is_claimed = True
            return None
        if earlier.fingerprint != run.claim.fingerprint:
            raise KeyTaken("This idempotency key was used for another request.")
        if earlier.is_running:
            raise KeyTaken(
                "The request with this idempotency key is under way in another process.",
                kind="idempotency_in_progress",
                retry_after_s=1.0,
            )
        if earlier.answer is None:
            raise gone(earlier.request_id)
        return earlier.answer

    def over(self, run: Run) -> None:
        """A run has ended, however it did."""
        self._unattended.over(run.begun_for)
        is_kept = run.is_restored or (run.is_claimed and _is_kept(run))
        is_remembered = is_kept and run.finished and not run.is_outgrown
        if is_remembered:
            run.body = bytes(run.body)
        if run.is_claimed:
            if is_kept:
                self._keys.end(run.claim, run.kept() if is_remembered else None)
            else:
                self._keys.free(run.claim)
        if is_remembered:
            self._ended[run.claim.project_id, run.claim.key] = run
        else:
            self._forget(run)
        if not run.finished:
            for follower in tuple(run.followers):
                follower.cut(GatewayError("The run under this idempotency key was broken off."))

    # Memory

    def answered(self, run: Run) -> None:
        """The run has no more use for its request."""
        self._unattended.answered(run.begun_for)

    def grown(self, run: Run) -> None:
        """There is more of an answer; room is made for it, or it is not remembered any longer."""
        self.count(run)
        while self.bytes_kept > self._bytes_max and not run.is_outgrown:
            oldest = next((each for each in self._ended.values() if not each.followers), None)
            if oldest is None:
                run.is_outgrown = True
            else:
                self._forget(oldest)
        if run.is_outgrown:
            run.shrink()
            self.count(run)

    def count(self, run: Run) -> None:
        """Count anew what a run takes of memory."""
        counted = 0 if run.is_forgotten and not run.followers else len(run.body) + _RUN_BYTES
        self.bytes_kept += counted - run.counted_bytes
        run.counted_bytes = counted

    def _forget(self, run: Run) -> None:
        scope = (run.claim.project_id, run.claim.key)
        if self._known.get(scope) is run:
            del self._known[scope]
            self._ended.pop(scope, None)
        run.is_forgotten = True
        self.count(run)


def _is_kept(run: Run) -> bool:
    """Whether the key of a run that is over stays used. A stream that broke in the middle still has status 200, but its
    record has the kind of the error."""
    record = run.record
    if record.cost_nano > 0:
        return True
    if run.status == 429 or run.status >= 500:
        return False
    return run.finished and record.error_kind in (None, UpstreamRefused.kind)
