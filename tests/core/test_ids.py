"""Request ids are UUIDs of version 7: parsed by the standard library, ordered by time, distinct."""

import time
import uuid

from faregate.core.ids import RequestIds


def test_they_are_uuids_of_version_7() -> None:
    make = RequestIds()
    before = time.time_ns() // 1_000_000
    ids = [make(time.time()) for _ in range(2000)]
    after = time.time_ns() // 1_000_000
    parsed = [uuid.UUID(text) for text in ids]
    assert [str(identity) for identity in parsed] == ids
    assert {identity.version for identity in parsed} == {7}
    assert {identity.variant for identity in parsed} == {uuid.RFC_4122}
    assert all(before <= identity.int >> 80 <= after for identity in parsed)
    assert len(set(ids)) == len(ids)
