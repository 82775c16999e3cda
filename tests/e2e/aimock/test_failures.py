"""What aimock refuses, and what fails in it, as the SDK's own exceptions."""

from typing import Any

import pytest

from .asking import Asking, both_ways, to_each

FAILURES = {"limited": 503, "down": 503}  # a client's own limits are not its provider's


@both_ways
@to_each
def test_a_refusal_in_the_providers_words(asking: Asking, upstream: str, streamed: bool) -> None:
    with pytest.raises(asking.client.refusals[400], match="That may not be done"):
        asking.ask(upstream, asking.question("refused"), streamed)


@both_ways
@to_each
@pytest.mark.parametrize("name", FAILURES)
def test_a_provider_that_fails(asking: Asking, upstream: str, streamed: bool, name: str) -> None:
    with pytest.raises(asking.client.broken) as failed:
        asking.ask(upstream, asking.question(name), streamed)
    assert _status(failed.value) == FAILURES[name]
    assert "aimock-secret-key" not in str(failed.value)


@to_each
def test_a_stream_that_breaks_off(asking: Asking, upstream: str) -> None:
    with pytest.raises(asking.client.broken) as broken:
        asking.ask(upstream, asking.question("breaks"), streamed=True)
    assert str(broken.value)


def _status(error: Any) -> int:
    """The status that an exception of any of the SDKs has."""
    return error.status_code if hasattr(error, "status_code") else error.code
