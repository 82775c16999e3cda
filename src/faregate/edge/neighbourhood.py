"""Which house a request comes to, where a deployment has several: by the host it asks for, else by its path."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..core.terms import Plans
from ..settings import Settings
from ..settings_source import KeyPath
from .house import House, load_house
from .house_file import UnknownHouse


class Neighbourhood:
    """The houses of a deployment, as the settings have them: the `main` one, to which all come who come to no other,
    and the further ones."""

    def __init__(
        self,
        main: House,
        further: Iterable[House],
        by_host: dict[bytes, House],
        by_path: Iterable[tuple[str, House]],
    ) -> None:
        self.main = main
        self.houses = (main, *further)
        self._by_host = by_host
        self._by_path = tuple(
            (path.encode() + b"/", house) for path, house in sorted(by_path, key=lambda each: -len(each[0]))
        )

    def of(self, host: bytes | None, path: bytes) -> House:
        """The house of a request's host, as it came, and path."""
        if self._by_host and host is not None:
            house = self._by_host.get(_host_name(host))
            if house is not None:
                return house
        for start, house in self._by_path:
            if path.startswith(start):
                return house
        return self.main


def _host_name(host: bytes) -> bytes:
    """A host without its port and the dot that a whole domain name may end with (RFC 3986, 3.2.2), in lower case."""
    name = host.lower()
    colon = name.rfind(b":")
    return (name[:colon] if colon > name.rfind(b"]") and colon > 0 else name).removesuffix(b".")


def _loaded(settings: Settings, at: KeyPath, name: str | Path, base_path: str = "") -> House:
    """The house that the settings name at `at`. SettingsError."""
    try:
        return load_house(name, settings.places.directory, base_path)
    except UnknownHouse as error:
        raise settings.places.fail(at, f"{error.path}: {error.message}") from None


def load_houses(settings: Settings) -> Neighbourhood:
    """The houses that the settings name. SettingsError for a file that is no house, two houses of one name or one key
    prefix, two with one host or path, and one that is in another's way."""
    fail = settings.places.fail
    main = _loaded(settings, ("house",), settings.house)
    if settings.keys.prefix is not None:
        main.key_prefix = settings.keys.prefix.encode()
    by_host: dict[bytes, House] = {}
    by_path: dict[str, House] = {}
    further: list[House] = []
    prefixes, names = {main.key_prefix}, {main.name}
    for index, given in enumerate(settings.houses):
        at = ("houses", index)
        if bool(given.hosts) == bool(given.base_path):
            raise fail(at, "a further house has hosts, or a base_path")
        house = _loaded(settings, (*at, "house"), given.house, given.base_path)
        if house.name in names:
            raise fail((*at, "house"), f"there is a house '{house.name}' already")
        names.add(house.name)
        further.append(house)
        if given.key_prefix is not None:
            house.key_prefix = given.key_prefix.encode()
        other = next(
            (each for each in prefixes if each.startswith(house.key_prefix) or house.key_prefix.startswith(each)), None
        )
        if other is not None:
            words = f"its keys begin with '{house.key_prefix.decode()}', those of another with '{other.decode()}'"
            raise fail((*at, "key_prefix" if given.key_prefix is not None else "house"), words)
        prefixes.add(house.key_prefix)
        for each, host in enumerate(given.hosts):
            if by_host.setdefault(_host_name(host.encode()), house) is not house:
                raise fail((*at, "hosts", each), "another house has this host")
        if not given.base_path:
            continue
        if _takes_from(given.base_path, "", main):
            raise fail((*at, "base_path"), "the main house is there")
        for path, other in by_path.items():
            if (
                path == given.base_path
                or _takes_from(given.base_path, path, other)
                or _takes_from(path, given.base_path, house)
            ):
                raise fail((*at, "base_path"), "another house has this path")
        by_path[given.base_path] = house
    return Neighbourhood(main, further, by_host, by_path.items())


def _takes_from(base_path: str, other_path: str, other: House) -> bool:
    """Whether requests for the API of a house under another path would come to the one under `base_path`: the longer
    path is looked at first. Gemini's clients add "beta" to a prefix."""
    if len(base_path) <= len(other_path):
        return False
    apis = (f"{prefix}{more}/" for prefix in other.prefixes for more in ("", "beta"))
    return any(api.startswith(f"{base_path}/") or f"{base_path}/".startswith(api) for api in apis)


def plans_of(house: House, houses: Neighbourhood, settings: Settings) -> Plans:
    """The plans that stand in files, as they hold in a house: the settings' above its own, and these above those of the
    other houses, which an organisation with keys of several may have too. The default ones are its own."""
    facts = house.facts
    found = {name: plan for other in reversed(houses.houses) for name, plan in other.facts.plans.items()}
    return Plans(
        house={**found, **facts.plans},
        settings=settings.plans,
        default_plan=settings.default_plan or facts.default_plan or None,
        paid_plan=settings.paid_plan or facts.paid_plan or None,
    )


def written_plans(settings: Settings) -> Mapping[str, Plans]:
    """The plans that stand in files, by what keys of a house begin with; '' are the main house's. SettingsError."""
    houses = load_houses(settings)
    others = {house.key_prefix.decode(): plans_of(house, houses, settings) for house in houses.houses[1:]}
    return {"": plans_of(houses.main, houses, settings), **others}
