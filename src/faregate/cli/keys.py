"""`faregate keys`: create, list, revoke, rotate. A key's text goes to standard output, alone, once."""

import argparse
import sys
import time

import msgspec

from ..core.identity import ApiKey
from ..stores.directory import Directory, IssuedKey
from .context import FAILURES, actor, moment, show_json, show_records, with_directory

__all__ = ["FAILURES", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    done = with_directory(arguments, lambda directory: _work(directory, arguments))
    if isinstance(done, IssuedKey):
        _show_issued(arguments, done)
    else:
        show_records(arguments, done, _COLUMNS)
    return 0


async def _work(directory: Directory, arguments: argparse.Namespace) -> IssuedKey | list[ApiKey]:
    if arguments.verb == "create":
        return await directory.create_key(
            arguments.project,
            arguments.name,
            actor=actor(),
            expires_at=arguments.expires,
            allowed_models=tuple(arguments.model),
            allowed_addresses=tuple(arguments.address),
            bills=tuple(arguments.bill),
        )
    if arguments.verb == "rotate":
        return await directory.rotate_key(arguments.id, actor=actor(), grace_s=arguments.grace)
    if arguments.verb == "revoke":
        return [await directory.revoke_key(arguments.id, actor=actor())]
    return await directory.list_keys(arguments.project)


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
