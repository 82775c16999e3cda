"""The SDKs' retries: when, how often, and as late as they were told."""

import uuid
from typing import Any

import pytest

from .processes import Upstream
from .scenarios import REPLIES, Sdk, asks


def patient(upstream: Upstream, retries: int) -> dict[str, Any]:
    """A client that tries again."""
    return {**upstream.client, "max_retries": retries}


def down_once() -> dict[str, Any]:
    """A body that no one has sent before, whose first answer is 503."""
    params = asks("down_once")
    params["messages"][0]["content"] += f" ({uuid.uuid4()})"
    return params


@pytest.mark.parametrize("which", ["simulator-exact", "aimock-compatible"])
def test_a_503_is_tried_again_when_it_says(sdk: Sdk, upstreams: dict[str, Upstream], which: str) -> None:
    report = sdk.do("raw", patient(upstreams[which], 2), down_once())
    assert report["answer"]["choices"][0]["message"]["content"] == REPLIES["down_once"]["content"]
    first, second = report["tries"]
    assert [first["retry_count"], second["retry_count"]] == ["0", "1"]
    # Retry-After says a second; unasked the SDKs would wait half of one at most.
    assert second["at_s"] - first["at_s"] >= 0.99


def test_a_stream_is_tried_again(sdk: Sdk, exact: Upstream) -> None:
    chunks = sdk.do("collect", patient(exact, 1), down_once())["chunks"]
    assert len(chunks) > 2


def test_a_connection_that_is_lost_is_tried_again(sdk: Sdk, exact: Upstream) -> None:
    params = asks("plain", user=str(uuid.uuid4()), simulator={"cut_after_bytes": 0, "times": 1})
    report = sdk.do("raw", patient(exact, 2), params)
    assert report["answer"]["choices"][0]["message"]["content"] == REPLIES["plain"]["content"]


def test_a_refusal_is_not_tried_again(sdk: Sdk, upstream: Upstream) -> None:
    report = sdk.report("raw", patient(upstream, 2), asks("refused"))
    assert report["error"]["status"] == 422
    assert len(report["tries"]) == 1


def test_the_last_error_is_shown(sdk: Sdk, exact: Upstream) -> None:
    report = sdk.report("raw", patient(exact, 1), asks("down"))
    assert report["error"]["class"] == "InternalServerError"
    assert report["error"]["status"] == 503
    assert [each["retry_count"] for each in report["tries"]] == ["0", "1"]
