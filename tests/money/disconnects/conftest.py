"""A gateway whose providers differ in what it costs that a client leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from ..books import Customer, customer_of
from ..killing_workers import stopped_in_order
from .leaving import config


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    """The upstream behind all of them."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def leaving(session_folder: Path, provider: Upstream) -> Iterator[Gateway]:
    """The gateway; its books are in order in the end."""
    gateway = Gateway(session_folder, config(provider))
    yield gateway
    stopped_in_order(gateway)


@pytest.fixture
def buyer(leaving: Gateway, request: pytest.FixtureRequest) -> Customer:
    """Who has spent nothing yet."""
    return customer_of(leaving, request.node.name, "10", "drain-it")
