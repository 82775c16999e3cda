"""Local servers: their model list is asked for, at the start and again, and what it names is served."""

from pathlib import Path

from tests.running.client import Caller, eventually
from tests.running.processes import Gateway
from tests.running.upstreams import DONE, FINISH, ROLE, Upstream, Visit, said

LIST = b'{"object":"list","data":[{"id":"llama3:8b","object":"model"},{"id":"acme/qwen"}]}'


def test_ollama_host_alone_serves_what_the_server_lists(session_folder: Path) -> None:
    with Upstream() as server:

        def answer(visit: Visit) -> None:
            if visit.head.startswith(b"GET /v1/models "):
                visit.whole(200, LIST)
            else:
                assert visit.json()["model"] == "llama3:8b"
                visit.stream(ROLE, said("hello"), FINISH, DONE)

        server.play(answer)
        address = server.base_url.removeprefix("http://").removesuffix("/v1")
        gateway = Gateway(session_folder, "", {"OLLAMA_HOST": address})
        try:
            caller = Caller(gateway, model="llama3:8b")
            eventually(lambda: caller.get("/v1/models").json()["data"])
            assert {model["id"] for model in caller.get("/v1/models").json()["data"]} == {"llama3:8b", "acme/qwen"}
            assert caller.streamed().text == "hello"
        finally:
            gateway.stop()
        assert not [line for line in gateway.log_lines() if line["level" if "level" in line else "event"] == "error"]
