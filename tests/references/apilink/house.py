"""What the tests of the apilink document share."""

from tests.running.client import Answer
from tests.running.processes import Gateway

URL, KEY = "https://apilink.io/v1", "al-your-key-here"
MODEL = "openai/gpt-4o-mini"
MEMBERS = ["message", "type", "request_id"]
SERVED = {"/chat/completions", "/models", "/models/{id}"}


def house_file(gateway: Gateway) -> str:
    """The whole house, as the operator sees it."""
    return gateway.command("house", "show", "apilink").stdout


def assert_error(answer: Answer, status: int, error_type: str) -> None:
    assert answer.status == status, answer.body
    assert list(answer.json()) == ["error"] and list(answer.error) == MEMBERS
    assert answer.error["type"] == error_type
    assert answer.error["request_id"] == answer.header("x-request-id")
    assert ("retry-after" in answer.names) == (status == 429 or status >= 500)
