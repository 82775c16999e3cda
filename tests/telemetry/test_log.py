"""Lines of the log stay whole, whoever else writes to the same place."""

import json
import os
import select
import threading

import pytest

from faregate.core.call import UsageRecord
from faregate.telemetry.log import Log

RECORDS = [UsageRecord(id=f"{number:032x}", received_at=1.5, model="m" * (number % 700)) for number in range(300)]


def lines_of(logs: list[Log], reading: int, writing: int) -> list[bytes]:
    """What several processes would have written to one pipe."""
    threads = [threading.Thread(target=log.requests, args=(RECORDS,)) for log in logs]
    for thread in threads:
        thread.start()
    closing = threading.Thread(target=lambda: ([thread.join() for thread in threads], os.close(writing)))
    closing.start()
    data = bytearray()
    while piece := os.read(reading, 1000):
        data += piece
    closing.join()
    os.close(reading)
    return bytes(data).splitlines()


def test_lines_of_several_processes_do_not_mix_in_a_pipe() -> None:
    reading, writing = os.pipe()
    logs = [Log(writing, is_shared=True) for _ in range(4)]
    ids = [json.loads(line)["id"] for line in lines_of(logs, reading, writing)]
    assert sorted(ids) == sorted([record.id for record in RECORDS] * 4)


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_batch_is_one_write_or_as_few_as_stay_whole(is_shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def write(_: int, data: memoryview) -> int:
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    Log(is_shared=is_shared).requests(RECORDS)
    assert all(piece.endswith(b"}\n") for piece in written)
    size = sum(map(len, written))
    if is_shared:
        assert max(map(len, written)) <= select.PIPE_BUF
        assert len(written) < 1.5 * size / select.PIPE_BUF
    else:
        assert len(written) == 1
    assert [json.loads(line)["id"] for line in b"".join(written).splitlines()] == [record.id for record in RECORDS]
