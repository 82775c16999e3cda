"""Every file under fixtures/dialects/<dialect>/ is a case of that dialect: adding one is adding a file.

`{"request": BODY, "asked": {"argument", "query"}, "conversation": {...}}`: a client's body, and what it says.
`{"result": BODY, "completion": {...}}`: a provider's whole answer, and what it says.
`{"stream": [TEXT, ...], "events": [...]}`: a provider's stream, joined and cut anew at random, and what happens in it.
`{"error": BODY, "words": {...}}`: a provider's error, and what it says.
What is expected is written as msgspec writes it, without the members that are as their type has them by default: so all
that the case does not name is expected to be as if nothing had been said.
"""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faregate.core.events import Event
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
        assert plain(dialect.understand(request)) == case["conversation"]
        checked += 1
    if "completion" in case:
        found = dialect.parse_result(msgspec.json.encode(case["result"]))
        assert plain(found) == case["completion"]
        checked += 1
    if "events" in case:
        raw = "".join(case["stream"]).encode()
        for seed in range(CUTTINGS):
            assert plain(events_of(dialect, raw, random.Random(seed))) == case["events"]
        checked += 1
    if "words" in case:
        found_words = dialect.parse_error(msgspec.json.encode(case["error"]))
        assert plain(found_words) == case["words"]
        checked += 1
    assert checked, "the case expects nothing"


def plain(found: Any) -> Any:
    """A value as JSON, without the members that are as their type has them where nothing is said."""
    if isinstance(found, msgspec.Struct):
        kind, config = type(found), found.__struct_config__
        said = {} if config.tag is None else {config.tag_field or "type": config.tag}
        for field in msgspec.structs.fields(kind):
            value = getattr(found, field.name)
            if field.required or value != field_default(field):
                said[field.encode_name] = plain(value)
        return said
    if isinstance(found, msgspec.Raw):
        return msgspec.json.decode(found)
    if isinstance(found, dict):
        return {name: plain(each) for name, each in found.items()}
    if isinstance(found, (list, tuple)):
        return [plain(each) for each in found]
    return msgspec.to_builtins(found)


def field_default(field: msgspec.structs.FieldInfo) -> Any:
    """What a member is where it is not given."""
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


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
