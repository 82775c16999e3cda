"""A house: facts -> header names, error kind -> status and body. Data, from houses/*.toml; never a branch in code."""

import math
import tomllib
from importlib import resources

import msgspec

from ..core.call import UsageRecord
from ..core.errors import CallError, UpstreamRefused
from ..wire.messages import header_lines


class HeaderNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the house calls each fact of an answer."""

    request_id: tuple[str, ...]
    region: str
    replica: str
    latency_ms: str
    failover: str
    model_used: str
    fallback_depth: str


class HouseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A house as its file has it. `errors`: kind -> status, type, code."""

    name: str
    prefixes: tuple[str, ...]
    members: tuple[str, ...]
    headers: HeaderNames
    errors: dict[str, tuple[int, str, str]]


class House:
    """A house, ready to render with."""

    def __init__(self, facts: HouseFile) -> None:
        self.facts = facts
        self._request_id_lines = "".join(f"{name}: %s\r\n" for name in facts.headers.request_id)
        self._request_id_count = len(facts.headers.request_id)
        self._latency_line = f"{facts.headers.latency_ms}: %d\r\n"
        self._head_format = self._request_id_lines + self._latency_line
        self._routing: dict[tuple[str, str, str, int], bytes] = {}

    def head(self, record: UsageRecord, latency_ms: float) -> bytes:
        """The header lines of every answer: id, latency, where it was made."""
        ids = (record.id,) * self._request_id_count
        return (self._head_format % (*ids, int(latency_ms))).encode("ascii") + self._routing_lines(record)

    def _routing_lines(self, record: UsageRecord) -> bytes:
        key = (record.region, record.replica, record.model, record.attempts)
        lines = self._routing.get(key)
        if lines is None:
            names = self.facts.headers
            pairs = [
                (names.region, record.region),
                (names.replica, record.replica or "none"),
                (names.failover, "true" if record.attempts > 1 else "false"),
                (names.fallback_depth, "0"),
            ]
            if record.model:
                pairs.append((names.model_used, record.model))
            if len(self._routing) > 10_000:
                self._routing.clear()
            lines = self._routing[key] = header_lines(pairs)
        return lines

    def error(self, error: CallError, request_id: str) -> tuple[int, dict[str, object], bytes]:
        """Status, body members and extra header lines of an error."""
        status, error_type, code = self.facts.errors.get(error.kind, (500, "internal_server_error", "internal_error"))
        if isinstance(error, UpstreamRefused):
            status, error_type, code = (
                error.status,
                error.error_type or "invalid_request_error",
                error.code or "",
            )
        values: dict[str, object] = {
            "message": error.message,
            "type": error_type,
            "param": error.param,
            "code": code or None,
            "request_id": request_id,
        }
        lines = b""
        if status >= 500 or status == 429:
            seconds = max(1, math.ceil(error.retry_after_s or 1.0))
            lines = b"retry-after: %d\r\n" % seconds
        return status, {name: values[name] for name in self.facts.members}, lines


def load_house(name: str) -> House:
    """The shipped house of that name."""
    text = (resources.files("faregate.edge") / "houses" / f"{name}.toml").read_text("utf-8")
    return House(msgspec.convert(tomllib.loads(text), HouseFile))
