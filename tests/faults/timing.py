"""Whether two kinds of bad keys can be told apart by how long their refusal takes (F98)."""

import random
import statistics
import time
from bisect import bisect_left, bisect_right

from faregate.core.identity import make_id, make_key
from tests.running.client import Connection, request_bytes
from tests.running.processes import Gateway


def timings(gateway: Gateway, pairs: int, seed: int = 98) -> tuple[list[float], list[float]]:
    """Seconds that refusals took: of wrong secrets under an id that there is, and of ids that there are not; in pairs,
    in random order within them, over one connection."""
    known = gateway.key.removeprefix("sk-fg-")[:12]
    rng = random.Random(seed)
    found: tuple[list[float], list[float]] = ([], [])
    with Connection(gateway.port) as connection:
        connection.send(request_bytes("GET", "/v1/models", key=gateway.key))
        assert connection.answer().status == 200
        for _ in range(pairs):
            for kind in rng.sample((0, 1), 2):
                request = request_bytes("GET", "/v1/models", key=make_key("sk-fg-", (known, make_id())[kind]))
                begun_at = time.perf_counter()
                connection.send(request)
                answer = connection.answer()
                found[kind].append(time.perf_counter() - begun_at)
                assert answer.status == 401
    return found


def told_apart(gateway: Gateway, pairs: int) -> float:
    """How probable it is that one of the first kind takes longer than one of the second: a half where nobody can tell
    (the statistic of Mann and Whitney)."""
    first, second = timings(gateway, pairs)
    second.sort()
    below = sum(bisect_left(second, each) + bisect_right(second, each) for each in first)
    return below / 2 / len(first) / len(second)


def t_of(first: list[float], second: list[float]) -> float:
    """Welch's t of two samples, without the slowest tenth of all, which is the machine's."""
    bound = statistics.quantiles(first + second, n=10)[-1]
    samples = [[each for each in sample if each <= bound] for sample in (first, second)]
    spread = sum(statistics.variance(sample) / len(sample) for sample in samples) ** 0.5
    return (statistics.fmean(samples[0]) - statistics.fmean(samples[1])) / spread
