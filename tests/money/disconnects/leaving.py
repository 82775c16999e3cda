"""Clients that leave, and providers that are told or not."""

import json
import threading
from typing import Any

from tests.running.client import CHAT, Connection
from tests.running.upstreams import DONE, FINISH, ROLE, USAGE, USAGE_EVENT, Script, Upstream, Visit, said

from ..books import RATES, Customer, Reservation, cost_of

DRAINED_MAX = 2
CLOSED_WITHIN_S = 0.1
ALL = cost_of(9, 2)  # by USAGE
WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()


def config(upstream: Upstream, more: str = "") -> str:
    """A provider for each policy, and models `drain-it`, `cancel-it` and `no_bill-it` that all cost RATES."""
    text = f"""
{more}

[limits]
drained_calls_max = {DRAINED_MAX}
longest_request_s = 20.0

[deadlines]
idle_timeout_s = 2.0
first_byte_timeout_s = 2.0

[ledger]
demo_credit = "100"
"""
    for policy in ("drain", "cancel", "no_bill"):
        text += f"""
[providers.{policy}]
base_url = "{upstream.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["{policy}-it"]
on_disconnect = "{policy}"

[models."{policy}-it"]
price = {{ {RATES} }}
"""
    return (
        text
        + """
[[routes]]
model = "drain-it"
provider = "drain"
weight = 1000000

[[routes]]
model = "drain-it"
provider = "cancel"
weight = 0
"""
    )


class Stage:
    """A script in two acts: the second begins when the test says so."""

    def __init__(self, upstream: Upstream, first: Script, second: Script) -> None:
        self.goes_on = threading.Event()

        def script(visit: Visit) -> None:
            first(visit)
            assert self.goes_on.wait(30)
            second(visit)

        self.visits = upstream.play(script)


def begins(visit: Visit) -> None:
    visit.stream(ROLE, said("a"))


def silent(visit: Visit) -> None:
    """Nothing yet."""


def ends(visit: Visit) -> None:
    visit.pieces(said("b"), FINISH, USAGE_EVENT, DONE)
    visit.end()


def until_gone(visit: Visit) -> None:
    visit.until_gone()


def drained(customer: Customer) -> int:
    return int(customer.gauge("faregate_drained"))


def start(customer: Customer, client_id: str, *, stream: bool = True, model: str = "drain-it") -> Connection:
    """A call that is sent; the caller closes its connection."""
    connection = customer.open()
    body = customer.body(model=model, stream=stream)
    connection.send(customer.bytes_of("POST", CHAT, body, {"x-request-id": client_id}))
    return connection


def left(customer: Customer, client_id: str) -> tuple[dict[str, Any], Reservation]:
    """What the record and the books say in the end of a call whose client has left."""
    line = customer.log_line(client_id)
    assert (line["status"], line["error_kind"]) == (499, "client_gone")
    record = customer.record(line["id"])
    assert (record["status"], record["error_kind"]) == (499, "client_gone")
    held = customer.settled(line["id"])
    assert line["cost_nano"] == held.charged
    return record, held
