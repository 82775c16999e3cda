"""What a checkpoint may count: no more than has left the process, and in time all of it."""

from hypothesis import given
from hypothesis import strategies as st

from faregate.flow.meter import Delivered


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 80)), max_size=30))
def test_what_waits_in_the_buffer_is_not_counted(steps: list[tuple[int, int]]) -> None:
    given_bytes = left_bytes = 0  # each byte costs one
    delivered = Delivered(lambda: given_bytes, lambda: (given_bytes, left_bytes))
    last = 0
    for more, leaves in steps:
        given_bytes += more
        left_bytes = min(given_bytes, left_bytes + leaves)
        cost = delivered.cost_nano()
        assert last <= cost <= left_bytes
        last = cost
    left_bytes = given_bytes
    delivered.cost_nano()
    assert delivered.cost_nano() == given_bytes
