"""The directory: organisations, their projects, the projects' keys, and the audit of every move.

Each change, its audit row and the new revision are one transaction. Of a key only the keyed hash of its text
is kept. Errors are StoreError: NoSuchRecord, Conflict, StoreUnavailable.
"""

import hmac
import ipaddress
import time
from collections.abc import Callable

import msgspec

from ..core.identity import ApiKey, Caller, Organisation, Project, make_id, make_key
from ..core.plans import NO_OVERRIDES, Overrides
from ..core.secret import Secret
from . import audit
from .audit import Actor, AuditRow
from .database import Conflict, Database, NoSuchRecord, Row, StoreError, Transaction, named_queries
from .directory_rows import json_of, key_of, organisation_of, project_of
from .pepper import Pepper
from .proving import prove
from .shares import end_share

GRACE_S_MAX = 7 * 86_400.0
_NAME_CHARACTERS_MAX = 200
_LIST_ITEMS_MAX = 1000


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key just made, with its text: to be shown once and forgotten."""

    key: ApiKey
    text: Secret


class Directory:
    """Who may call. `clock` gives unix seconds; `prefix` begins the keys that are made here."""

    def __init__(
        self,
        database: Database,
        pepper: Pepper,
        *,
        prefix: str = "sk-fg-",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._pepper = pepper
        self._prefix = prefix
        self._clock = clock
        self._queries = named_queries("directory")

    async def check_pepper(self) -> None:
        """StoreError where the keys in the database were made under another pepper; to be called at start."""
        await self._database.run(self._check_pepper)

    # Reading

    async def revision(self) -> int:
        """A number that every change raises: one row read, for the poll that notices changes."""
        row = await self._database.read(lambda reading: reading.one(self._queries["revision"]))
        return row[0] if row else 0

    async def find_key(self, digest: bytes, key_id: str) -> Caller | None:
        """Who presents the key of this digest and id; None for unknown, revoked, expired and replaced ones.

        A disabled organisation or project shows as `Caller.disabled`. `Caller.expires_at` is when this secret
        ends, be it by the key's expiry or by a rotation's grace. One read.
        """
        return await self._database.read(lambda reading: prove(reading, digest, key_id, self._clock()))

    async def list_organisations(self) -> list[Organisation]:
        """All organisations, oldest first."""
        rows = await self._database.read(lambda reading: reading.all(self._queries["list_organisations"]))
        return [organisation_of(row) for row in rows]

    async def list_projects(self, organisation: str | None = None) -> list[Project]:
        """The projects of an organisation (id or name), or all, oldest first."""

        def work(reading: Transaction) -> list[Row]:
            owner = self.organisation_in(reading, organisation).id if organisation is not None else None
            return reading.all(self._queries["list_projects"], (owner,))

        return [project_of(row) for row in await self._database.read(work)]

    async def list_keys(self, project: str | None = None) -> list[ApiKey]:
        """The keys of a project (id or name), or all, oldest first, revoked ones too."""

        def work(reading: Transaction) -> list[Row]:
            owner = self.project_in(reading, project).id if project is not None else None
            return reading.all(self._queries["list_keys"], (owner,))

        return [key_of(row) for row in await self._database.read(work)]

    async def list_audit(self, *, after: int = 0, rows_max: int = 1000) -> list[AuditRow]:
        """Audit rows beyond sequence `after`, oldest first."""
        return await self._database.read(lambda reading: audit.rows(reading, after=after, rows_max=rows_max))

    async def verify_audit(self) -> int | None:
        """The first audit row that was tampered with, or None."""
        return await self._database.read(audit.verify)

    # Organisations and projects

    async def create_organisation(self, name: str, *, actor: Actor | str) -> Organisation:
        """A new organisation. Conflict where the name is taken."""
        organisation = Organisation(id=make_id(), name=_checked_name(name), disabled=False, created_at=self._clock())

        def work(writing: Transaction) -> Organisation:
            if writing.one(self._queries["find_organisation"], (name,)) is not None:
                raise Conflict(f"there is an organisation called {name} already")
            writing.run(self._queries["insert_organisation"], (organisation.id, name, organisation.created_at))
            self.note(writing, actor, "organisation.create", None, organisation)
            return organisation

        return await self._database.run(work)

    async def disable_organisation(self, organisation: str, *, disabled: bool, actor: Actor | str) -> Organisation:
        """Disable an organisation (id or name), or enable it again: its keys answer 403 meanwhile."""

        def work(writing: Transaction) -> Organisation:
            before = self.organisation_in(writing, organisation)
            if before.disabled == disabled:
                return before
            after = msgspec.structs.replace(before, disabled=disabled)
            writing.run(self._queries["disable_organisation"], (int(disabled), before.id))
            self.note(writing, actor, f"organisation.{_verb(disabled)}", before, after)
            return after

        return await self._database.run(work)

    async def create_project(self, organisation: str, name: str, *, actor: Actor | str) -> Project:
        """A new project in an organisation (id or name). Conflict where it has one of this name."""
        _checked_name(name)

        def work(writing: Transaction) -> Project:
            owner = self.organisation_in(writing, organisation).id
            if writing.all(self._queries["find_projects_named"], (name, owner)):
                raise Conflict(f"the organisation has a project called {name} already")
            project = Project(id=make_id(), organisation_id=owner, name=name, disabled=False, created_at=self._clock())
            writing.run(self._queries["insert_project"], (project.id, owner, name, project.created_at))
            self.note(writing, actor, "project.create", None, project)
            return project

        return await self._database.run(work)

    async def disable_project(self, project: str, *, disabled: bool, actor: Actor | str) -> Project:
        """Disable a project (id or name), or enable it again."""

        def work(writing: Transaction) -> Project:
            before = self.project_in(writing, project)
            if before.disabled == disabled:
                return before
            after = msgspec.structs.replace(before, disabled=disabled)
            writing.run(self._queries["disable_project"], (int(disabled), before.id))
            self.note(writing, actor, f"project.{_verb(disabled)}", before, after)
            return after

        return await self._database.run(work)

    # Keys

    async def create_key(
        self,
        project: str,
        name: str,
        *,
        actor: Actor | str,
        expires_at: float | None = None,
        allowed_models: tuple[str, ...] = (),
        allowed_addresses: tuple[str, ...] = (),
        bills: tuple[str, ...] = (),
        overrides: Overrides = NO_OVERRIDES,
        prefix: str = "",
    ) -> IssuedKey:
        """A new key of a project (id or name). Empty lists allow all; addresses may be networks; `bills` are further
        projects of the same organisation that it may bill; `overrides` narrow its plan; `prefix` is another than the
        directory's own, and stays with it."""
        _checked_name(name)
        models = tuple(_checked_name(model) for model in allowed_models)
        networks = tuple(_network(text) for text in allowed_addresses)
        if max(len(models), len(networks)) > _LIST_ITEMS_MAX:
            raise StoreError(f"a key lists at most {_LIST_ITEMS_MAX} models or addresses")
        now = self._clock()
        if expires_at is not None and not now < expires_at < 1e11:
            raise StoreError("a key expires in the future")

        def work(writing: Transaction) -> IssuedKey:
            owner = self.project_in(writing, project)
            billed = [self.project_in(writing, each) for each in bills]
            if any(each.organisation_id != owner.organisation_id for each in billed):
                raise Conflict("a key bills projects of its own organisation alone")
            key = ApiKey(
                id=make_id(),
                project_id=owner.id,
                organisation_id=owner.organisation_id,
                name=name,
                created_at=now,
                expires_at=expires_at,
                revoked_at=None,
                allowed_models=models,
                allowed_addresses=networks,
                bills=tuple(each.id for each in billed),
                overrides=overrides,
                prefix=prefix,
            )
            columns = (json_of(each) for each in (models, networks, key.bills, overrides))
            writing.run(self._queries["insert_key"], (key.id, owner.id, name, now, expires_at, *columns, prefix))
            text = self._new_secret(writing, key, now)
            self.note(writing, actor, "key.create", None, key)
            return IssuedKey(key=key, text=text)

        return await self._database.run(work)

    async def revoke_key(self, key_id: str, *, actor: Actor | str) -> ApiKey:
        """End a key for good. A key that is revoked already stays as it is."""

        def work(writing: Transaction) -> ApiKey:
            before = self.key_in(writing, key_id)
            if before.revoked_at is not None:
                return before
            after = msgspec.structs.replace(before, revoked_at=self._clock())
            writing.run(self._queries["revoke_key"], (after.revoked_at, key_id))
            writing.run(self._queries["delete_secrets"], (key_id,))
            end_share(writing, after.organisation_id, key_id)  # of throughput: others may use it now
            self.note(writing, actor, "key.revoke", before, after)
            return after

        return await self._database.run(work)

    async def rotate_key(self, key_id: str, *, actor: Actor | str, grace_s: float = 0.0) -> IssuedKey:
        """A new secret under the same id, limits and history; older ones open the key for `grace_s` more
        seconds, at most seven days. Conflict for a key that is revoked or expired.
        """
        if not 0 <= grace_s <= GRACE_S_MAX:
            raise StoreError(f"the grace of a rotation is 0 to {GRACE_S_MAX:.0f} seconds")

        def work(writing: Transaction) -> IssuedKey:
            key = self.key_in(writing, key_id)
            now = self._clock()
            if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
                raise Conflict(f"key {key_id} is revoked or expired")
            if grace_s > 0:
                writing.run(self._queries["end_secrets"], (key_id, now + grace_s))
                writing.run(self._queries["delete_dead_secrets"], (key_id, now))
            else:
                writing.run(self._queries["delete_secrets"], (key_id,))
            text = self._new_secret(writing, key, now)
            self.note(writing, actor, "key.rotate", key, key, grace_s=grace_s)
            return IssuedKey(key=key, text=text)

        return await self._database.run(work)

    # Inside a transaction

    def set_billing(self, writing: Transaction, organisation: str, billing: str, *, actor: Actor) -> Organisation:
        """Note how an organisation (id or name) pays (ledger/billing.py). NoSuchRecord."""
        before = self.organisation_in(writing, organisation)
        after = msgspec.structs.replace(before, billing=billing)
        if after != before:
            writing.run(self._queries["bill_organisation"], (billing, before.id))
            self.note(writing, actor, "organisation.billing", before, after)
        return after

    def subject_in(self, transaction: Transaction, named: str) -> tuple[str, str]:
        """What a budget is of: `key` and its id, or `project` and its id, by id or name. NoSuchRecord, Conflict."""
        if transaction.one(self._queries["find_key"], (named,)) is not None:
            return "key", named
        return "project", self.project_in(transaction, named).id

    def touch(self, writing: Transaction) -> None:
        """Have every process look anew at who may call."""
        writing.run(self._queries["bump_revision"])

    def _new_secret(self, writing: Transaction, key: ApiKey, now: float) -> Secret:
        text = make_key(key.prefix or self._prefix, key.id)
        digest = self._pepper.digest(text.encode("ascii"))
        writing.run(self._queries["insert_secret"], (key.id, digest, self._pepper.version, now))
        return Secret(text)

    def note(
        self,
        writing: Transaction,
        actor: Actor | str,
        action: str,
        before: Organisation | Project | ApiKey | None,
        after: Organisation | Project | ApiKey,
        **details: float,
    ) -> None:
        """Write down who changed what, and have every process look anew."""
        at, subject = self._clock(), after.id
        by = actor if isinstance(actor, Actor) else Actor(actor)
        then = {**msgspec.to_builtins(after), **details}
        audit.record(writing, at=at, actor=by, action=action, subject=subject, before=before, after=then)
        writing.run(self._queries["bump_revision"])

    def _check_pepper(self, writing: Transaction) -> None:
        row = writing.one(self._queries["find_pepper_mark"], (self._pepper.version,))
        if row is None:
            writing.run(self._queries["insert_pepper_mark"], (self._pepper.version, self._pepper.mark))
        elif not hmac.compare_digest(row[0], self._pepper.mark):
            raise StoreError("this is not the pepper that the keys in the database were made with")

    def organisation_in(self, transaction: Transaction, named: str) -> Organisation:
        """The organisation of that id or name, inside a transaction of the caller's. NoSuchRecord."""
        row = transaction.one(self._queries["find_organisation"], (named,))
        if row is None:
            raise NoSuchRecord(f"there is no organisation {named}")
        return organisation_of(row)

    def project_in(self, transaction: Transaction, named: str, organisation_id: str | None = None) -> Project:
        """The project of that id, or of that name (in that organisation), inside a transaction of the caller's.
        NoSuchRecord; Conflict where several have the name."""
        row = transaction.one(self._queries["find_project"], (named,))
        if row is not None:
            return project_of(row)
        rows = transaction.all(self._queries["find_projects_named"], (named, organisation_id))
        if not rows:
            raise NoSuchRecord(f"there is no project {named}")
        if len(rows) > 1:
            raise Conflict(f"several projects are called {named}: give the id")
        return project_of(rows[0])

    def key_in(self, transaction: Transaction, key_id: str) -> ApiKey:
        """The key of that id, inside a transaction of the caller's. NoSuchRecord."""
        row = transaction.one(self._queries["find_key"], (key_id,))
        if row is None:
            raise NoSuchRecord("there is no key with this id")
        return key_of(row)


def _verb(disabled: bool) -> str:
    return "disable" if disabled else "enable"


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= _NAME_CHARACTERS_MAX or not name.isprintable() or name != name.strip():
        raise StoreError(f"a name is 1 to {_NAME_CHARACTERS_MAX} printable characters")
    return name


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise StoreError(f"no address or network: {error}") from None
