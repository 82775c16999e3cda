"""What a client's body may not say is a 400 that names the place, as the client itself would write it.

Every file under fixtures/refusals/ is a dialect: `body` uses all that it has, and is taken. Each of its members in turn
is given a value of a wrong type: refused by its path, but for those that are `open` (and why), or whose error is
`named` by another. `many` are lists that may not hold a thousand; `refused` is what is set in the body, and the path;
where only some values are allowed, `words` has them.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faregate.core.errors import MalformedRequest
from faregate.dialects import Asked
from faregate.dialects.table import DIALECTS

FIXTURES = Path(__file__).parent.parent / "fixtures" / "refusals"
CASES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_bytes()) for path in sorted(FIXTURES.glob("*.json"))
}
REFUSED = [(name, each) for name, case in CASES.items() for each in case["refused"]]
MANY = [(name, path) for name, case in CASES.items() for path in case["many"]]


def understand(dialect: str, body: dict[str, Any]) -> None:
    """All that the gateway reads of a body that has to be translated."""
    asked = CASES[dialect].get("asked", {})
    request = DIALECTS[dialect].parse_request(msgspec.json.encode(body), Asked(asked.get("argument", ""), {}))
    DIALECTS[dialect].understand(request)


def refusal(dialect: str, changes: dict[str, Any]) -> MalformedRequest | None:
    """What is said to the body with some values at other places changed."""
    body = copy.deepcopy(CASES[dialect]["body"])
    for path, value in changes.items():
        *way, last = steps(path)
        holder = body
        for step in way:
            holder = holder[step]
        holder[last] = value
    try:
        understand(dialect, body)
    except MalformedRequest as refused:
        return refused
    return None


def steps(path: str) -> list[Any]:
    """The steps of a path: names, and places in lists."""
    return [int(place) if place else name for name, place in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]


def members(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every member and element, by its path."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = ((f"{path}.{name}" if path else name, each) for name, each in value.items())
    elif isinstance(value, list):
        inner = ((f"{path}[{index}]", each) for index, each in enumerate(value))
    for way, each in inner:
        yield way, each
        yield from members(each, way)


def of_wrong_type(value: Any) -> Any:
    return "x" if isinstance(value, int | float) else 5


@pytest.mark.parametrize("dialect", CASES)
def test_the_body_is_taken(dialect: str) -> None:
    assert refusal(dialect, {}) is None


@pytest.mark.parametrize("dialect", CASES)
def test_a_value_of_a_wrong_type_is_named(dialect: str) -> None:
    case = CASES[dialect]
    told, wanted = {}, {}
    for path, value in members(case["body"]):
        refused = refusal(dialect, {path: of_wrong_type(value)})
        told[path] = None if refused is None else refused.param
        wanted[path] = None if path in case["open"] else case.get("named", {}).get(path, path)
    assert told == wanted


@pytest.mark.parametrize(("dialect", "case"), REFUSED, ids=[f"{name}-{each['name']}" for name, each in REFUSED])
def test_what_may_not_be_is_named(dialect: str, case: dict[str, Any]) -> None:
    refused = refusal(dialect, case["set"])
    assert refused is not None
    assert refused.param == case["param"]
    assert refused.param in refused.message or refused.kind == "unsupported_parameter"
    assert case.get("words", "") in refused.message


@pytest.mark.parametrize(("dialect", "path"), MANY)
def test_a_thousand_are_too_many(dialect: str, path: str) -> None:
    (one,) = (value for way, value in members(CASES[dialect]["body"]) if way == f"{path}[0]")
    refused = refusal(dialect, {path: [one] * 1_000})
    assert refused is not None and refused.param == path
