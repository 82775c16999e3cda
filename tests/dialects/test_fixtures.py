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

from faregate.core.events import Event, UpstreamWords
from faregate.dialects import Asked, Dialect
from faregate.dialects.table import DIALECTS

FIXTURES = Path(__file__).parent.parent / "fixtures" / "dialects"
CASES = sorted(FIXTURES.glob("*/*.json"))
CUTTINGS = 20
DEFAULTS = (("choices", 1), ("start", -1), ("end", -1), ("arguments", "{}"))


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
        assert plain(dialect.understand(request)) == plain(case["conversation"])
        checked += 1
    if "completion" in case:
        found = dialect.parse_result(msgspec.json.encode(case["result"]))
        assert plain(found) == plain(case["completion"])
        checked += 1
    if "events" in case:
        expected = msgspec.json.decode(msgspec.json.encode(case["events"]), type=list[Event])
        raw = "".join(case["stream"]).encode()
        for seed in range(CUTTINGS):
            assert events_of(dialect, raw, random.Random(seed)) == expected
        checked += 1
    if "words" in case:
        found_words = dialect.parse_error(msgspec.json.encode(case["error"]))
        assert found_words == msgspec.convert(case["words"], UpstreamWords)
        checked += 1
    assert checked, "the case expects nothing"


def plain(found: Any) -> Any:
    """A value as JSON, without what is left out of cases: nothing, and the defaults."""
    return without_defaults(msgspec.json.decode(msgspec.json.encode(found)))


def without_defaults(value: Any) -> Any:
    """JSON without the members that say nothing, nor those that are as they always are."""
    if isinstance(value, list):
        return [without_defaults(each) for each in value]
    if not isinstance(value, dict):
        return value
    members = {name: without_defaults(each) for name, each in value.items()}
    return {
        name: each
        for name, each in members.items()
        if each not in (None, "", [], {}) and (name, each) not in DEFAULTS and each is not False
    }


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
