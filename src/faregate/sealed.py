"""The stores that seal what they hold, where they do: answers under idempotency keys, and responses that several
processes keep. What seals is imported late, and only then: it takes 60 ms to load, more than all of the gateway."""

from collections.abc import Callable

from .settings import Settings
from .stores.database import Database
from .stores.idempotency import IdempotencyKeys
from .stores.kept_responses import SEALED, StoredShelf
from .stores.pepper import Pepper

Report = Callable[..., None]


def idempotency_keys(settings: Settings, database: Database, pepper: Pepper, report: Report) -> IdempotencyKeys:
    """The keys, with their answers where the operator wants those stored."""
    given = settings.idempotency
    if not given.stored:
        return IdempotencyKeys(database, report=report)
    from .stores.sealed_answers import AesSeal

    bytes_max = given.stored_answer_bytes_max
    return IdempotencyKeys(database, seal=AesSeal(pepper), answer_bytes_max=bytes_max, report=report)


def shared_shelf(settings: Settings, database: Database, pepper: Pepper, report: Report) -> StoredShelf | None:
    """Where responses are kept for several processes, in each of which a client may go on; None where there is one."""
    if not settings.server.reuse_port:
        return None
    from .stores.sealing import AesGcm

    return StoredShelf(database, AesGcm(pepper, SEALED), report=report)
