"""Every file under fixtures/dialects/<dialect>/ is a case of that dialect: adding one is adding a file.

`{"request": BODY, "asked": {"argument", "query"}, "conversation": {...}}`: a client's body, and what it says.
`{"result": BODY, "completion": {...}}`: a provider's whole answer, and what it says.
`{"stream": [TEXT, ...], "events": [...]}`: a provider's stream, joined and cut anew at random, and what happens in it.
  Where it is binary, an entry is `{NAME: PAYLOAD}`, the name of an event or an exception.
`{"rendered": BODY, "conversation": {...}, "addressee": {...}, "dropped", "adjusted"}`: what a provider is told in a
  wire that only providers speak; with `"inexpressible": PARAMETER` in place of the body, what it cannot be told.
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

from faregate.core.conversation import Conversation
from faregate.core.errors import Inexpressible
from faregate.core.events import Event
from faregate.dialects import Addressee, Asked, Upstream
from faregate.dialects.table import DIALECTS, UPSTREAMS
from faregate.simulator.bedrock.encoding import message

FIXTURES = Path(__file__).parent.parent / "fixtures" / "dialects"
CASES = sorted(FIXTURES.glob("*/*.json"))
CUTTINGS = 20


def dialect_of(path: Path) -> Upstream:
    return UPSTREAMS[path.parent.name]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path) -> None:
    case: dict[str, Any] = json.loads(path.read_bytes())
    dialect = dialect_of(path)
    checked = 0
    if "rendered" in case or "inexpressible" in case:
        check_rendered(dialect, case)
        checked += 1
    elif "conversation" in case:
        client = DIALECTS[path.parent.name]
        given = case.get("asked", {})
        asked = Asked(given.get("argument", ""), given.get("query", {}))
        request = client.parse_request(msgspec.json.encode(case["request"]), asked)
        assert plain(client.understand(request)) == case["conversation"]
        checked += 1
    if "completion" in case:
        found = dialect.parse_result(msgspec.json.encode(case["result"]))
        assert plain(found) == case["completion"]
        checked += 1
    if "events" in case:
        raw = b"".join(map(bytes_of, case["stream"]))
        for seed in range(CUTTINGS):
            assert plain(events_of(dialect, raw, random.Random(seed))) == case["events"]
        checked += 1
    if "words" in case:
        found_words = dialect.parse_error(msgspec.json.encode(case["error"]))
        assert plain(found_words) == case["words"]
        checked += 1
    assert checked, "the case expects nothing"


def check_rendered(dialect: Upstream, case: dict[str, Any]) -> None:
    """What a provider is told of a conversation."""
    conversation = conversation_of(case["conversation"])
    addressee = msgspec.convert(case.get("addressee", {}) | {"model": case.get("model", "m")}, Addressee)
    if "inexpressible" in case:
        with pytest.raises(Inexpressible) as refused:
            dialect.render_request(conversation, addressee)
        assert refused.value.param == case["inexpressible"]
        return
    rendered = dialect.render_request(conversation, addressee)
    assert json.loads(rendered.body) == case["rendered"]
    assert list(rendered.dropped) == case.get("dropped", [])
    assert list(rendered.adjusted) == case.get("adjusted", [])


def conversation_of(given: dict[str, Any]) -> Conversation:
    """A conversation of a case. JSON that it holds as it is, or none, is put in by hand, for msgspec reads none."""
    schemas = [taken(tool, "parameters") for tool in given.get("tools", ())]
    form, bias = taken(given.get("output_format", {}), "schema"), taken(given.get("sampling", {}), "logit_bias")
    found = msgspec.json.decode(msgspec.json.encode(given), type=Conversation)
    found.tools = tuple(
        msgspec.structs.replace(tool, parameters=schema) if schema is not None else tool
        for tool, schema in zip(found.tools, schemas, strict=True)
    )
    found.sampling = msgspec.structs.replace(found.sampling, logit_bias=bias)
    if found.output_format is not None:
        found.output_format = msgspec.structs.replace(found.output_format, schema=form)
    return found


def taken(members: dict[str, Any], name: str) -> msgspec.Raw | None:
    """A member as its JSON, taken out; None where there is none."""
    return msgspec.Raw(msgspec.json.encode(members.pop(name))) if name in members else None


def bytes_of(said: str | dict[str, Any]) -> bytes:
    """A piece of a stream: a text, or an event of Amazon's binary streams."""
    if isinstance(said, str):
        return said.encode()
    ((name, payload),) = said.items()
    kind = "exception" if name.endswith("Exception") else "event"
    data = payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload)
    return message({f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}, data)


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


def events_of(dialect: Upstream, raw: bytes, dice: random.Random) -> list[Event]:
    """The events of a stream, fed in pieces; the pieces of a text or of arguments that the cuts made are joined."""
    parser = dialect.parser()
    events: list[Event] = []
    at = 0
    while at < len(raw):
        size = dice.choice((1, 3, 17, 200, len(raw)))
        events += parser.feed(raw[at : at + size])
        at += size
    return events + parser.close()
