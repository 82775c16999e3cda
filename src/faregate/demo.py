"""`faregate up`: the key and the credit that a newcomer is given, and the first call that he is shown."""

import json

from .core.catalog import Snapshot
from .core.secret import Secret
from .ledger.credits import Credits
from .stores.audit import Actor
from .stores.database import Database
from .stores.directory import Directory

_NAME = "demo"
_ACTOR = "cli:up"


async def key(directory: Directory, database: Database, credit_nano: int) -> Secret:
    """The key that `up` prints: made in the first run, given a new secret in every later one. Its organisation is given
    `credit_nano` once."""
    organisations = {organisation.name: organisation for organisation in await directory.list_organisations()}
    organisation = organisations.get(_NAME) or await directory.create_organisation(_NAME, actor=_ACTOR)
    if credit_nano:
        await Credits(database, directory).grant(
            organisation.id,
            credit_nano,
            reason="to try the gateway with",
            actor=Actor(_ACTOR),
            idempotency_key=f"demo:{organisation.id}",
        )
    projects = {project.name: project for project in await directory.list_projects(organisation.id)}
    project = projects.get(_NAME) or await directory.create_project(organisation.id, _NAME, actor=_ACTOR)
    for each in await directory.list_keys(project.id):
        if each.name == _NAME and each.revoked_at is None:
            return (await directory.rotate_key(each.id, actor=_ACTOR)).text
    return (await directory.create_key(project.id, _NAME, actor=_ACTOR)).text


def welcome(base_url: str, key: Secret, snapshot: Snapshot, is_simulated: bool) -> str:
    """What `up` prints for people."""
    model = _first_model(snapshot)
    source = (
        "No provider key is in the environment, so the built-in simulator answers, in a process of its own.\n"
        "Set OPENAI_API_KEY (or another provider's) and start again for real answers.\n"
        if is_simulated
        else ""
    )
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    return (
        f"\nFaregate is ready.\n{source}\n"
        f"  base URL  {base_url}\n"
        f"  key       {key.reveal()}   (shown once; a new one is made at every start)\n"
        f"  models    {len(snapshot.models)}\n\n"
        f"Try it:\n\n"
        f"  curl {base_url}/chat/completions \\\n"
        f"    -H 'Authorization: Bearer {key.reveal()}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{body}'\n\n"
    )


def _first_model(snapshot: Snapshot) -> str:
    """A model for the first call: a small, common one where it is served, else the first chat model."""
    for name in ("gpt-4o-mini", "deepseek-v4-flash", "gpt-5.4-mini"):
        found = snapshot.resolve(name)
        if found is not None:
            return name
    chats = sorted(model.id for model in snapshot.models.values() if model.kind == "chat")
    return chats[0] if chats else "gpt-4o-mini"
