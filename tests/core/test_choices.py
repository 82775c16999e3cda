"""What may stand in the place of a value that is none of those allowed, found by the type that was read."""

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import pytest

from faregate.core.choices import either, with_choices

Letter = Literal["b", "a"]


class Way(enum.Enum):
    OUT = "out"
    BACK = "back"


class Inner(msgspec.Struct, rename="camel"):
    the_letter: Letter | None = None
    either_way: Letter | list[int] | None = None


class Outer(msgspec.Struct):
    inner: Inner | None = None
    many: Annotated[list[Inner], msgspec.Meta(max_length=5)] = []
    pair: tuple[int, Letter] = (0, "a")
    named: Mapping[str, Letter] = {}
    keyed: dict[Letter, int] = {}


@pytest.mark.parametrize(
    ("value", "shape", "words"),
    [
        ("x", Letter, "Invalid enum value 'x'; it must be 'a' or 'b'"),
        ("x", Way, "Invalid enum value 'x'; it must be 'out' or 'back'"),
        (3, Literal[1, 2], "Invalid enum value 3; it must be '1' or '2'"),
        ("x", Literal["only"], "Invalid enum value 'x'; it must be 'only'"),
        ("x", Literal["", "some"], "Invalid enum value 'x'; it must be 'some'"),
        (
            {"inner": {"theLetter": "x"}},
            Outer,
            "Invalid enum value 'x'; it must be 'a' or 'b' - at `$.inner.theLetter`",
        ),
        ({"inner": {"eitherWay": "x"}}, Outer, "it must be 'a' or 'b' - at `$.inner.eitherWay`"),
        ({"many": [{}, {"theLetter": "x"}]}, Outer, "it must be 'a' or 'b' - at `$.many[1].theLetter`"),
        ({"pair": [1, "x"]}, Outer, "Invalid enum value 'x'; it must be 'a' or 'b' - at `$.pair[1]`"),
        ({"named": {"k": "x"}}, Outer, "Invalid enum value 'x'; it must be 'a' or 'b' - at `$.named[...]`"),
        ({"keyed": {"x": 1}}, Outer, "Invalid enum value 'x'; it must be 'a' or 'b' - at `key` in `$.keyed`"),
        ({"inner": {"theLetter": 5}}, Outer, "Expected `str | null`, got `int` - at `$.inner.theLetter`"),
        ({"many": 5}, Outer, "Expected `array`, got `int` - at `$.many`"),
    ],
)
def test_what_may_be_said_is_told(value: Any, shape: Any, words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(value, shape)
    assert with_choices(raised.value, shape).endswith(words)


def test_choices_in_words() -> None:
    assert [either(each) for each in (["a"], ["a", "b"], ["a", "b", "c"])] == ["'a'", "'a' or 'b'", "'a', 'b' or 'c'"]
