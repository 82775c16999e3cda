"""/healthz, /readyz, /metrics: what a supervisor, a load balancer and Prometheus ask."""

import ipaddress
from collections.abc import Callable

import msgspec

_JSON = b"content-type: application/json\r\ncache-control: no-store\r\n"
_AGAIN = b"retry-after: 1\r\nretry-after-ms: 1000\r\n"  # as on every 5xx (contract.md 4.5)
_TEXT = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"


class Probes:
    """`problems()` says why the process may take no traffic (empty: it may); `figures()` is /metrics."""

    def __init__(
        self,
        problems: Callable[[], list[str]],
        figures: Callable[[], bytes],
        *,
        metrics_public: bool,
    ) -> None:
        self._problems = problems
        self._figures = figures
        self._metrics_public = metrics_public

    def answer(self, operation: str, client_address: str) -> tuple[int, bytes, bytes]:
        """Status, body and header lines."""
        if operation == "healthz":
            return 200, b'{"status":"ok"}', _JSON
        if operation == "readyz":
            problems = self._problems()
            status = "not ready" if problems else "ready"
            return (
                (503 if problems else 200),
                msgspec.json.encode({"status": status, "problems": problems}),
                _JSON + _AGAIN if problems else _JSON,
            )
        if not self._metrics_public and not _is_local(client_address):
            return 403, b'{"status":"metrics are for this machine only"}', _JSON
        return 200, self._figures(), _TEXT


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "local"
