"""`faregate keys`: create, list, revoke, rotate, set, limits. A key's text goes to standard output, alone, once."""

import argparse
import sys
import time
from functools import partial

import msgspec

from ..core.identity import ApiKey
from ..core.plans import NO_OVERRIDES
from ..edge.neighbourhood import load_houses
from ..settings import SettingsError
from ..stores.directory import Directory, IssuedKey
from ..stores.overrides import OverridesOffice
from ..stores.sqlite import SqliteDatabase
from .context import FAILURES, actor, moment, read_settings, show_json, show_records, with_stores
from .limits import edited_overrides, office, show_standing, warn_beyond
from .offer import note_unserved

__all__ = ["FAILURES", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.verb == "limits":
        standing = with_stores(arguments, lambda *stores: office(arguments, *stores).standing_of_key(arguments.id))
        show_standing(arguments, standing)
        return 0
    done = with_stores(arguments, partial(_work, arguments))
    if isinstance(done, IssuedKey):
        _show_issued(arguments, done)
    else:
        show_records(arguments, done, _COLUMNS)
    return 0


async def _work(
    arguments: argparse.Namespace, directory: Directory, database: SqliteDatabase
) -> IssuedKey | list[ApiKey]:
    limits = office(arguments, directory, database)
    if arguments.verb == "create":
        issued = await directory.create_key(
            arguments.project,
            arguments.name,
            actor=actor(),
            expires_at=arguments.expires,
            allowed_models=tuple(arguments.model),
            allowed_addresses=tuple(arguments.address),
            bills=tuple(arguments.bill),
            overrides=edited_overrides(NO_OVERRIDES, arguments),
            prefix=_prefix_of(arguments),
        )
        await _warn(limits, issued.key)
        if arguments.house is None:
            note_unserved(arguments)
        return issued
    if arguments.verb == "set":
        edit = partial(edited_overrides, arguments=arguments)
        changed = await limits.of_key(arguments.id, edit, actor=actor())
        await _warn(limits, changed)
        return [changed]
    if arguments.verb == "rotate":
        return await directory.rotate_key(arguments.id, actor=actor(), grace_s=arguments.grace)
    if arguments.verb == "revoke":
        return [await directory.revoke_key(arguments.id, actor=actor())]
    return await directory.list_keys(arguments.project)


async def _warn(limits: OverridesOffice, key: ApiKey) -> None:
    if key.overrides != NO_OVERRIDES:
        await warn_beyond(key.overrides, limits.standing_of_key(key.id), "key")


def _prefix_of(arguments: argparse.Namespace) -> str:
    """What keys of the house that is named begin with. SettingsError."""
    if arguments.house is None:
        return ""
    houses = load_houses(read_settings(arguments))
    for house in houses.houses:
        if house.name == arguments.house:
            return "" if house is houses.main else house.key_prefix.decode()
    known = ", ".join(house.name for house in houses.houses)
    raise SettingsError("--house", 0, "", f"the settings have no house '{arguments.house}'; they have {known}")


def _show_issued(arguments: argparse.Namespace, issued: IssuedKey) -> None:
    text = issued.text.reveal()
    if arguments.json:
        show_json({**msgspec.to_builtins(issued.key), "key": text})
        return
    sys.stdout.write(f"{text}\n")
    sys.stderr.write(f"key {issued.key.id} ({issued.key.name}): shown once, keep it safe\n")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= time.time() else "active"


_COLUMNS = {
    "id": lambda key: key.id,
    "name": lambda key: key.name,
    "project": lambda key: key.project_id,
    "state": _state,
    "created": lambda key: moment(key.created_at),
    "expires": lambda key: moment(key.expires_at),
    "models": lambda key: ",".join(key.allowed_models) or "all",
    "addresses": lambda key: ",".join(key.allowed_addresses) or "all",
}
