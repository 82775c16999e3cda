"""GET /v1/models in pages, as clients of Anthropic and Gemini walk through them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types

from tests.running.client import Answer, Caller
from tests.running.processes import Gateway

NAMES = [f"model-{number:03}" for number in range(120)]
ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def library(session_folder: Path) -> Iterator[Gateway]:
    """Many models."""
    gateway = Gateway(
        session_folder,
        f"""
[providers.host]
base_url = "http://127.0.0.1:9/v1"
models = {NAMES}
""",
    )
    yield gateway
    gateway.stop()


@pytest.fixture
def caller(library: Gateway) -> Caller:
    return Caller(library)


def messages_page(caller: Caller, query: str) -> dict[str, Any]:
    answer = caller.get(f"/v1/models{query}", ANTHROPIC)
    assert answer.status == 200, answer.body
    page = answer.json()
    ids = [model["id"] for model in page["data"]]
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return page | {"ids": ids}


def gemini_page(caller: Caller, query: str) -> tuple[list[str], str | None]:
    answer = caller.get(f"/v1beta/models{query}")
    assert answer.status == 200, answer.body
    page = answer.json()
    assert page.keys() <= {"models", "nextPageToken"}
    return [model["name"].removeprefix("models/") for model in page["models"]], page.get("nextPageToken")


@pytest.mark.contract("1.10")
@pytest.mark.parametrize("size", [7, 20, 60, 119, 120, 1000])
def test_anthropics_pages_both_ways(size: int, caller: Caller) -> None:
    """Both ways every model is there once, and `has_more` is false at the end of the way."""
    found: list[str] = []
    page = messages_page(caller, f"?limit={size}")
    found += page["ids"]
    while page["has_more"]:
        assert len(page["ids"]) == size
        page = messages_page(caller, f"?limit={size}&after_id={page['last_id']}")
        found += page["ids"]
    assert found == NAMES
    back = messages_page(caller, f"?limit={size}&before_id={NAMES[-1]}")
    found = back["ids"]
    while back["has_more"]:
        back = messages_page(caller, f"?limit={size}&before_id={back['first_id']}")
        found = back["ids"] + found
    assert found == NAMES[:-1]


@pytest.mark.contract("1.10")
def test_anthropics_ends_and_default(caller: Caller) -> None:
    page = messages_page(caller, "")
    assert (page["ids"], page["has_more"]) == (NAMES[:20], True)
    for query in (f"?after_id={NAMES[-1]}", f"?before_id={NAMES[0]}"):
        page = messages_page(caller, query)
        assert (page["ids"], page["has_more"]) == ([], False)


@pytest.mark.contract("1.10")
@pytest.mark.parametrize("size", [7, 40, 60, 119, 120, 1000, 2000000])
def test_geminis_pages(size: int, caller: Caller) -> None:
    found, token = gemini_page(caller, f"?pageSize={size}")
    assert len(found) == min(size, len(NAMES))
    while token is not None:
        more, token = gemini_page(caller, f"?pageSize={size}&pageToken={token}")
        assert more
        found += more
    assert found == NAMES


@pytest.mark.contract("1.10")
def test_geminis_default(caller: Caller) -> None:
    for query in ("", "?pageSize=0", "?pageToken="):
        names, token = gemini_page(caller, query)
        assert names == NAMES[:50] and token


@pytest.mark.contract("1.10")
def test_the_official_sdks_walk_through_all(library: Gateway) -> None:
    base_url = library.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=base_url, api_key=library.key, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == NAMES
        assert [model.id for model in client.models.list(limit=50)] == NAMES
        assert [model.id for model in client.models.list(limit=50, before_id=NAMES[3])] == NAMES[:3]
    with genai.Client(api_key=library.key, http_options=types.HttpOptions(base_url=base_url)) as client:
        for config in (None, {"page_size": 33}):
            names = [model.name for model in client.models.list(config=config)]  # type: ignore[arg-type]
            assert names == [f"models/{name}" for name in NAMES]


def test_openais_list_is_whole(caller: Caller) -> None:
    """OpenAI's has no pages: what asks for them says nothing there."""
    answer = caller.get("/v1/models?limit=2&after_id=x&pageSize=-1")
    assert [model["id"] for model in answer.json()["data"]] == NAMES


BAD = [
    ("limit", "limit=0"),
    ("limit", "limit=1001"),
    ("limit", "limit=-1"),
    ("limit", "limit=many"),
    ("limit", "limit="),
    ("limit", "limit=1.5"),
    ("limit", "limit=" + "9" * 5000),
    ("limit", "limit=%D9%A3"),
    ("after_id", "after_id=nothing"),
    ("before_id", "before_id=nothing"),
    ("before_id", f"after_id={NAMES[0]}&before_id={NAMES[5]}"),
    ("pageSize", "pageSize=-1"),
    ("pageSize", "pageSize=many"),
    ("pageSize", "pageSize=99999999999"),
    ("pageToken", "pageToken=nothing"),
    ("pageToken", "pageToken=%FF"),
    ("pageToken", f"pageToken={NAMES[0]}"),
]


@pytest.mark.contract("1.10", "9")
@pytest.mark.parametrize(("name", "query"), BAD)
def test_bad_values_are_refused_in_the_clients_shape(name: str, query: str, caller: Caller) -> None:
    if name.startswith("page"):
        refused: Answer = caller.get(f"/v1beta/models?{query}")
        assert (refused.error["status"], refused.error["param"]) == ("INVALID_ARGUMENT", name)
    else:
        refused = caller.get(f"/v1/models?{query}", ANTHROPIC)
        assert (refused.json()["type"], refused.error["type"]) == ("error", "invalid_request_error")
    assert refused.status == 400
    assert name in refused.error["message"]
