"""The models that the simulator lists: those of the shipped catalogue. It serves any other name as well."""

from pathlib import Path

import msgspec

CATALOG_PATH = Path(__file__).parent.parent / "data" / "catalog.json"

_UNLISTED_CREATED_S = 1_790_000_000


class Model(msgspec.Struct, frozen=True):
    """One model: its window and output in tokens, when it was made in unix seconds."""

    id: str
    vendor: str = "simulator"
    created: int = _UNLISTED_CREATED_S
    kind: str = "chat"
    context_window: int | None = None
    max_output_tokens: int | None = None


class _Catalog(msgspec.Struct, frozen=True):
    models: list[Model]


class Models:
    """The list, and any one by name."""

    def __init__(self, path: Path = CATALOG_PATH) -> None:
        catalog = msgspec.json.decode(path.read_bytes(), type=_Catalog) if path.exists() else _Catalog([])
        self._models = {model.id: model for model in catalog.models}

    def all(self) -> list[Model]:
        """The models."""
        return list(self._models.values())

    def of(self, vendor: str) -> list[Model]:
        """Those of a vendor that answer in words."""
        return [model for model in self._models.values() if model.vendor == vendor and model.kind == "chat"]

    def one(self, name: str) -> Model:
        """The model `name`, listed or not."""
        return self._models.get(name) or Model(name)
