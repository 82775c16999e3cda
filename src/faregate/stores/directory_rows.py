"""Rows of the directory's tables as what they mean."""

import msgspec

from ..core.identity import ApiKey, Organisation, Project
from ..core.plans import Bounds, Overrides
from .database import Row

decode_list = msgspec.json.Decoder(tuple[str, ...]).decode
decode_bounds = msgspec.json.Decoder(Bounds).decode
decode_overrides = msgspec.json.Decoder(Overrides).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def json_of(value: object) -> str:
    """A list, bounds, overrides or a plan as a column has it."""
    return _encode(value).decode()


def organisation_of(row: Row) -> Organisation:
    """An organisation."""
    return Organisation(
        id=row[0],
        name=row[1],
        disabled=bool(row[2]),
        created_at=row[3],
        billing=row[4],
        plan=row[5],
        bounds=decode_bounds(row[6]),
    )


def project_of(row: Row) -> Project:
    """A project."""
    return Project(
        id=row[0],
        organisation_id=row[1],
        name=row[2],
        disabled=bool(row[3]),
        created_at=row[4],
        overrides=decode_overrides(row[5]),
    )


def key_of(row: Row) -> ApiKey:
    """A key."""
    return ApiKey(
        id=row[0],
        project_id=row[1],
        organisation_id=row[2],
        name=row[3],
        created_at=row[4],
        expires_at=row[5],
        revoked_at=row[6],
        allowed_models=decode_list(row[7]),
        allowed_addresses=decode_list(row[8]),
        bills=decode_list(row[9]),
        overrides=decode_overrides(row[10]),
    )
