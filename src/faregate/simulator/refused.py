"""A request that gets an error for an answer; each wire says it in its own shape."""

from typing import Any


class Refused(Exception):
    """What is wrong with a request. `kind`, `param` and `code` are for the wires that say them, as `details`."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.details = details
