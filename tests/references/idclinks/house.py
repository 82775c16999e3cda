"""What the tests of the idclinks document share."""

from typing import Any

from tests.running.client import Answer, Caller

URL = "https://api.idclinks.com/v1"
MODEL = "claude-sonnet-4.6"
MEMBERS = ["message", "type", "param", "code", "request_id"]
ROUTING = ("idc-request-id", "idc-region", "idc-replica", "idc-latency-ms", "idc-failover")


def streamed_head(caller: Caller, headers: dict[str, str] | None = None, plan: dict[str, Any] | None = None) -> Answer:
    """The head of a stream, and nothing more of it."""
    with caller.stream(plan, headers) as connection:
        return connection.current


def assert_error(answer: Answer, status: int, error_type: str, code: str | None, param: str | None = None) -> None:
    assert answer.status == status, answer.body
    assert list(answer.json()) == ["error"] and list(answer.error) == MEMBERS
    assert (answer.error["type"], answer.error["code"], answer.error["param"]) == (error_type, code, param)
    assert answer.error["request_id"] == answer.header("idc-request-id")
    assert ("retry-after" in answer.names) == (status == 429 or status >= 500)
