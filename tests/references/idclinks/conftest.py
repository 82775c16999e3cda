"""A gateway that wears the idclinks house, and who calls it."""

import pytest

from tests.running.client import Caller
from tests.running.processes import Gateway

from .house import MODEL


@pytest.fixture
def caller(idclinks: Gateway) -> Caller:
    return Caller(idclinks, model=MODEL)
