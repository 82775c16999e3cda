"""The matrix: what clients want, by what providers answer. A file of fixtures/translation/ is one such want, said in
every dialect; each client is put before each provider.

`{"what", "model_caps", DIALECT: {"request", "expect", "asked", "answer"}, "pairs": {"CLIENT>UPSTREAM": {...}}}`:
`request` is what a client of the dialect sends and `expect` what it is to see: `response`, `chunks`, `folded`,
`invariants`. `asked` is what a provider of the dialect is to be asked, and `answer` what it says: `response` or
`stream`. `pairs` adds to them what is so between these two only. The words are those of the case files.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cases import DIALECTS, FIXTURES, UPSTREAMS, Case

FOLDER = FIXTURES / "translation"
WANTS = sorted(FOLDER.glob("*.json"))
_MEMBERS = {
    "response": "expect_client_response_contains",
    "chunks": "expect_client_chunks",
    "folded": "expect_client_folded",
    "invariants": "invariants",
}


def matrix_cases() -> list[Case]:
    """Every want, of every client, from every provider; from one of its own dialect by both wires."""
    return [case for path in WANTS for case in _cases_of(path)]


def _cases_of(path: Path) -> Iterator[Case]:
    want = json.loads(path.read_bytes())
    for client in DIALECTS:
        for upstream in UPSTREAMS:
            if "request" not in want[client] or "asked" not in want.get(upstream, ()):
                continue
            said = _said(path.stem, want, client, upstream)
            yield Case(said)
            if client == upstream:
                yield Case(said, "exact")


def _said(name: str, want: dict[str, Any], client: str, upstream: str) -> dict[str, Any]:
    """A case as the case files have it."""
    pair = want.get("pairs", {}).get(f"{client}>{upstream}", {})
    expect = _joined(want[client]["expect"], pair.get("expect", {}))
    answer = want[upstream]["answer"]
    return {
        "name": f"{name}-{client}-to-{upstream}",
        "client_dialect": client,
        "upstream_dialect": upstream,
        "request": want[client]["request"],
        "expect_upstream_request_contains": _joined(want[upstream]["asked"], pair.get("asked", {})),
        **({"upstream_stream": answer["stream"]} if "stream" in answer else {"upstream_response": answer["response"]}),
        **{_MEMBERS[member]: value for member, value in expect.items()},
        **({"model_caps": want["model_caps"]} if "model_caps" in want else {}),
    }


def _joined(one: Any, other: Any) -> Any:
    """Objects with the members of both, lists of one length with the entries of both joined, else the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: _joined(one[name], value) if name in one else value for name, value in other.items()}}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_joined(a, b) for a, b in zip(one, other, strict=True)]
    return other
