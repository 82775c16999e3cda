"""What every kind of provider has that is more than a row: addresses and credentials of its own (`kind` of a
`[providers.NAME]` table)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..settings import ProviderSettings
from ..wire.client import Origin
from . import Provider, origin_of

Environment = Mapping[str, str]


class Unusable(Exception):
    """A provider's table cannot be used: `key` is the one at fault, the message holds no value."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


class Kind(NamedTuple):
    """A kind: `configured` makes a provider of its name, its table and the environment (Unusable, SettingsError);
    `keys` are those of its table that not every kind has; `is_on` says whether the environment alone switches it on."""

    configured: Callable[[str, ProviderSettings, Environment], Provider]
    keys: frozenset[str]
    is_on: Callable[[Environment], bool]


def located(given: ProviderSettings, base_url: str) -> tuple[Origin, str]:
    """The origin of a base URL, reached as the table says, and the path that it puts before each operation.
    ValueError."""
    return origin_of(
        base_url,
        None if given.unix_socket is None else str(given.unix_socket),
        None if given.ca_file is None else str(given.ca_file),
    )
