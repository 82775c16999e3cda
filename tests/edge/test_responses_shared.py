"""What one worker keeps of a response, the others find."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.money.crew import connected_to_each, crew_config
from tests.running.client import Answer, Caller, Connection
from tests.running.processes import Gateway, Simulator

PATH = "/v1/responses"
CANARY = "canary-90aa-prompt"


def asked(caller: Caller, connection: Connection, body: dict[str, Any] | None, path: str = PATH) -> Answer:
    connection.send(caller.bytes_of("GET" if body is None else "POST", path, body))
    return connection.answer()


def test_any_worker_goes_on_from_any(session_folder: Path, simulator: Simulator) -> None:
    gateway = Gateway(session_folder, crew_config(simulator, 2))
    caller = Caller(gateway)
    with ExitStack() as stack:
        one, other = connected_to_each(stack, caller).values()
        previous = None
        for number, connection in enumerate((one, other, one, other)):
            stream = number > 1
            body = {"model": "test-model", "input": f"{CANARY} {number}", "stream": stream}
            answer = asked(caller, connection, body | {"previous_response_id": previous})
            assert answer.status == 200, answer.body
            previous = (_ending(answer) if stream else answer.json())["id"]
        items = asked(caller, one, None, f"{PATH}/{previous}/input_items?order=asc").json()["data"]
        assert [item["role"] for item in items] == ["user", "assistant"] * 3 + ["user"]
        reference = {"type": "item_reference", "id": items[1]["id"]}
        answer = asked(caller, one, {"model": "test-model", "input": [reference, {"role": "user", "content": "x"}]})
        assert answer.status == 200, answer.body
    assert gateway.stop() == 0
    assert not [path for path in gateway.data.iterdir() if path.is_file() and CANARY.encode() in path.read_bytes()]


def _ending(answer: Answer) -> dict[str, Any]:
    return json.loads(bytes(answer.body).rpartition(b"data: ")[2])["response"]
