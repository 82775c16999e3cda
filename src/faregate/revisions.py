"""Notices what any process changed in the directory: who is known is proven anew, what is revoked is cut off."""

import asyncio
import time
from collections.abc import Callable, Sized

from .core.errors import CallError, InvalidKey
from .core.identity import Caller
from .flow.admission import Callers, disabled
from .stores.directory import Directory
from .stores.plans import CurrentPlans

NOTICE_INTERVAL_S = 0.2

Objection = Callable[[Caller], CallError | None]


class Revisions:
    """Polls the directory's revision (security.md S3). `in_flight` are the calls under way; `cut_revoked` ends those
    whose caller is not valid any more, and says how many; `report` writes an event."""

    def __init__(
        self,
        directory: Directory,
        plans: CurrentPlans,
        callers: Callers,
        in_flight: Sized,
        cut_revoked: Callable[[Objection], int],
        report: Callable[..., None],
    ) -> None:
        self._directory = directory
        self._plans = plans
        self._callers = callers
        self._in_flight = in_flight
        self._cut_revoked = cut_revoked
        self._report = report
        self._revision = 0

    async def begin(self) -> None:
        """What holds now, before the first caller is proven."""
        self._revision = await self._directory.revision()
        await self._plans.refresh()

    async def watch(self) -> None:
        """Notice every change within 0.2 s."""
        while True:
            await asyncio.sleep(NOTICE_INTERVAL_S)
            try:
                now = await self._directory.revision()
                if now != self._revision:
                    await self._plans.refresh()  # first: callers are proven by the plans as they are now
                    self._callers.forget()
                    await self._cut()
                    self._revision = now
            except Exception as error:
                self._report("error", "directory_unreadable", error=type(error).__name__)

    async def _cut(self) -> None:
        if not self._in_flight:
            return
        now = time.time()
        keys = {key.id: key for key in await self._directory.list_keys()}
        organisations = {each.id for each in await self._directory.list_organisations() if not each.disabled}
        projects = {each.id for each in await self._directory.list_projects() if not each.disabled}

        def objection(caller: Caller) -> CallError | None:
            key = keys.get(caller.key_id)
            if key is None or key.revoked_at is not None:
                return InvalidKey("The API key was revoked.")
            if key.expires_at is not None and key.expires_at <= now:
                return InvalidKey("The API key has expired.")
            if caller.organisation_id not in organisations or caller.project_id not in projects:
                return disabled()
            return None

        cut = self._cut_revoked(objection)
        if cut:
            self._report("info", "revoked_calls_cut", calls=cut)
