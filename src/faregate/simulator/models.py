"""The models that the simulator lists: those of the shipped catalogue. It serves any other name as well."""

from pathlib import Path
from typing import Any

import msgspec

from . import shapes

CATALOG_PATH = Path(__file__).parent.parent / "data" / "catalog.json"

_UNLISTED_CREATED_S = 1_790_000_000


class _Model(msgspec.Struct, frozen=True):
    id: str
    vendor: str
    created: int = _UNLISTED_CREATED_S


class _Catalog(msgspec.Struct, frozen=True):
    models: list[_Model]


class Models:
    """The list, and any one by name."""

    def __init__(self, path: Path = CATALOG_PATH) -> None:
        catalog = msgspec.json.decode(path.read_bytes(), type=_Catalog) if path.exists() else _Catalog([])
        self._models = {model.id: shapes.model(model.id, model.created, model.vendor) for model in catalog.models}

    def all(self) -> dict[str, Any]:
        """The list of models."""
        return {"object": "list", "data": list(self._models.values())}

    def one(self, name: str) -> dict[str, Any]:
        """The model `name`, listed or not."""
        return self._models.get(name) or shapes.model(name, _UNLISTED_CREATED_S, "simulator")
