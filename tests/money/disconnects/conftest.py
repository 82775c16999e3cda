"""A gateway whose providers differ in what it costs that a client leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from ..books import Books, Customer, customer_of
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
    assert gateway.stop() == 0
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0


@pytest.fixture
def buyer(leaving: Gateway, request: pytest.FixtureRequest) -> Customer:
    """Who has spent nothing yet."""
    return customer_of(leaving, request.node.name, "10", "drain-it")
