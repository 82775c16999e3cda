"""A gateway whose models keep to schemas, and do not."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from ..books import RATES, Books, Customer, customer_of
from .judging import CLIENTS


@pytest.fixture(scope="module")
def house(session_folder: Path, scripted: Upstream) -> Iterator[Gateway]:
    """A model for each dialect of an upstream, and one that is not judged. In the end the books are in order."""
    providers = "".join(
        f'[providers.{name}]\nbase_url = "{scripted.base_url}"\nkey = "scripted-secret-key"\ndialect = "{name}"\n'
        f'wire = "exact"\nmodels = ["of-{name}"]\n[models."of-{name}"]\nprice = {{ {RATES} }}\n'
        "max_output_tokens = 20000\n"
        for name in CLIENTS
    )
    more = f"""
[providers.trusted]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["keeps"]
[models.keeps]
price = {{ {RATES} }}
[models.keeps.capabilities]
structured_outputs = true
"""
    limits = "[limits]\nanswer_bytes_max = 1048576\n"
    gateway = Gateway(session_folder, f'{limits}[ledger]\ndemo_credit = "100"\n{providers}{more}')
    yield gateway
    assert gateway.stop() == 0
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0


_numbers = itertools.count()


@pytest.fixture
def customer(house: Gateway) -> Callable[..., Customer]:
    def make(credit: str = "10") -> Customer:
        return customer_of(house, f"structured-{next(_numbers)}", credit, "of-openai_chat")

    return make
