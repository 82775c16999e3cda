"""Every file under fixtures/dialects/<dialect>/ is a case of that dialect: adding one is adding a file.

`{"request": BODY, "asked": {"argument", "query"}, "conversation": {...}}`: a client's body, and what it says.
`{"result": BODY, "completion": {...}}`: a provider's whole answer, and what it says.
`{"stream": [TEXT, ...], "events": [...]}`: a provider's stream, joined and cut anew at random, and what happens in it.
`{"error": BODY, "words": {...}}`: a provider's error, and what it says.
What is expected is written as msgspec writes it, defaults left out or not.
"""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faregate.core.conversation import Conversation
from faregate.core.events import Completion, Event, UpstreamWords
from faregate.dialects import Asked, Dialect
from faregate.dialects.table import DIALECTS

FIXTURES = Path(__file__).parent.parent / "fixtures" / "dialects"
CASES = sorted(FIXTURES.glob("*/*.json"))
CUTTINGS = 20


def dialect_of(path: Path) -> Dialect:
    return DIALECTS[path.parent.name]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path) -> None:
    case: dict[str, Any] = json.loads(path.read_bytes())
    dialect = dialect_of(path)
    checked = 0
    if "conversation" in case:
        given = case.get("asked", {})
        asked = Asked(given.get("argument", ""), given.get("query", {}))
        request = dialect.parse_request(msgspec.json.encode(case["request"]), asked)
        assert dialect.understand(request) == as_written(case["conversation"], Conversation)
        checked += 1
    if "completion" in case:
        found = dialect.parse_result(msgspec.json.encode(case["result"]))
        assert found == as_written(case["completion"], Completion)
        checked += 1
    if "events" in case:
        expected = as_written(case["events"], list[Event])
        raw = "".join(case["stream"]).encode()
        for seed in range(CUTTINGS):
            assert events_of(dialect, raw, random.Random(seed)) == expected
        checked += 1
    if "words" in case:
        found_words = dialect.parse_error(msgspec.json.encode(case["error"]))
        assert found_words == as_written(case["words"], UpstreamWords)
        checked += 1
    assert checked, "the case expects nothing"


def as_written(expected: Any, type_: Any) -> Any:
    """What a case expects. Both sides are written by msgspec, so that JSON kept as it came (Raw) is the same."""
    return msgspec.json.decode(msgspec.json.encode(expected), type=type_)


def events_of(dialect: Dialect, raw: bytes, dice: random.Random) -> list[Event]:
    """The events of a stream, fed in pieces; the pieces of a text or of arguments that the cuts made are joined."""
    parser = dialect.parser()
    events: list[Event] = []
    at = 0
    while at < len(raw):
        size = dice.choice((1, 3, 17, 200, len(raw)))
        events += parser.feed(raw[at : at + size])
        at += size
    return events + parser.close()
