"""What OpenAI's wires share: keys, errors, models, the header fields of an answer."""

import hashlib
from typing import Any

from .models import Model, Models
from .refused import Refused
from .wires import Call, Fields, Headers, bearer

_KINDS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The bearer token, any will do; Refused without one."""
    if bearer(headers) is None:
        message = "You didn't provide an API key. Put it in the Authorization header (Bearer YOUR_KEY)."
        raise Refused(message, status=401, code="invalid_api_key")
    return "Authorization", headers[b"authorization"].decode("latin-1")


def call(asked: Call, _headers: Headers, _query: dict[str, str]) -> Call:
    """OpenAI says everything in the body."""
    return asked


def error(refused: Refused, _request_id: str) -> dict[str, Any]:
    """The body of a refusal."""
    status = refused.status
    kind, code = _KINDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    if refused.kind is not None or refused.code is not None:
        kind, code = refused.kind or kind, refused.code
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": code}}


def fields(request_id: str) -> Fields:
    """The header fields of every answer."""
    return [("x-request-id", request_id), ("openai-organization", "org-simulator")]


def models(known: Models, name: str, _query: dict[str, str]) -> dict[str, Any]:
    """The model `name`, or all."""
    if name:
        return _model(known.one(name))
    return {"object": "list", "data": [_model(model) for model in known.all()]}


def fingerprint(model: str) -> str:
    """The system_fingerprint of a model."""
    return f"fp_{hashlib.blake2b(model.encode(), digest_size=5).hexdigest()}"


def _model(model: Model) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.vendor}
