"""JSON Schemas for providers that take only a part of the language.

What comes out is said with `type` (one), `nullable`, `enum`, `properties`, `required`, `items`, `anyOf`, bounds,
`pattern`, `format` and `description`; nothing refers to anything. Whatever the schema allows, the result allows too,
and nothing else, but for the keywords that are named as lost: of those nothing can be said in that part.
"""

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ..core.errors import Inexpressible, MalformedRequest
from .schemas_meet import Schema, accepts_null, any_of, are_apart, is_of, is_same, meet, narrow, type_of

__all__ = ["Simplified", "check_references", "closed", "object_schema", "simplified"]

NODES_MAX = 20_000
DEPTH_MAX = 100

_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REFERENCE = re.compile(rb'"\$(?:ref|dynamicRef|recursiveRef)"')
_SAID_ELSEWHERE = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "$vocabulary", "$ref"),
        *("default", "example", "examples", "title", "deprecated", "readOnly", "writeOnly", "contentEncoding"),
        *(
            "contentMediaType",
            "type",
            "nullable",
            "enum",
            "const",
            "description",
            "allOf",
            "anyOf",
            "oneOf",
            "additionalItems",
        ),
    }
)
_KEYWORDS = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "object": ("properties", "required", "minProperties", "maxProperties"),
    "boolean": (),
    "null": (),
}
_ALL_KEYWORDS = tuple(dict.fromkeys(name for names in _KEYWORDS.values() for name in names))
_FORMATS = {"string": ("date-time",), "integer": ("int32", "int64"), "number": ("float", "double")}


class Simplified(NamedTuple):
    """A schema in the part of the language above, and the keywords of which something could not be said there."""

    schema: msgspec.Raw
    lost: tuple[str, ...]


def simplified(raw: msgspec.Raw, param: str) -> Simplified:
    """What a JSON Schema says, in the part of the language above. `param` is whose it is, for errors.

    Inexpressible for one that refers to elsewhere, to itself, or to more than can be written out; MalformedRequest for
    one that is no schema.
    """
    root = _decoded(raw, param)
    writer = _Writer(root, param)
    found = writer.schema(root, ())
    if found is None:
        raise Inexpressible("This schema allows nothing.", param=param)
    return Simplified(msgspec.Raw(msgspec.json.encode(found)), tuple(writer.lost))


def check_references(raw: msgspec.Raw, param: str) -> None:
    """Inexpressible where a schema refers to anything outside itself: nobody fetches it."""
    if _REFERENCE.search(raw) is None:
        return
    for reference in _references(_decoded(raw, param), 0, param):
        if not reference.startswith("#"):
            message = f"The schema in '{param}' refers to '{reference}', which is not part of it."
            raise Inexpressible(message, param=param)


def closed(schema: Any) -> Any:
    """A schema whose objects take no members beyond their own: some providers take no other."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        name: closed(value) if name not in ("enum", "const", "default") else value for name, value in schema.items()
    }
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found


def object_schema(parameters: msgspec.Raw | None) -> object:
    """A tool's schema, saying that it is of an object, where it must."""
    if parameters is None:
        return {"type": "object"}
    members = _members_decoder.decode(parameters)
    return parameters if "type" in members else {"type": "object", **members}


def _decoded(raw: msgspec.Raw, param: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest(f"Invalid value for '{param}'.", param=param) from None


def _references(node: Any, depth: int, param: str) -> Iterator[str]:
    if depth > DEPTH_MAX:
        raise Inexpressible("The schema is nested too deeply.", param=param)
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str):
                yield value
            elif name not in ("enum", "const", "default", "example", "examples"):
                yield from _references(value, depth + 1, param)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value, depth + 1, param)


class _Writer:
    """Writes the parts of one schema out. None stands for a schema that allows nothing."""

    def __init__(self, root: Any, param: str) -> None:
        self.lost: dict[str, None] = {}
        self._root = root
        self._param = param
        self._nodes = 0

    def schema(self, node: Any, way: tuple[str, ...]) -> Schema | None:
        """A schema without its references. `way` holds a mark for each level above, for a reference its target."""
        self._nodes += 1
        if self._nodes > NODES_MAX or len(way) > DEPTH_MAX:
            raise Inexpressible("The schema is too large when it is written out.", param=self._param)
        if isinstance(node, bool):
            return {} if node else None
        if not isinstance(node, dict):
            raise self._malformed("A schema must be an object or a boolean")
        found = self._own(node, (*way, ""))
        reference = node.get("$ref")
        if reference is not None:
            found = self._meet(found, self._referred(reference, way))
        for part in self._list(node, "allOf"):
            found = self._meet(found, self.schema(part, (*way, "")))
        for name in ("anyOf", "oneOf"):
            if name in node:
                found = self._meet(found, self._alternatives(node, name, (*way, "")))
        for name in node:
            if name not in _SAID_ELSEWHERE and name not in _ALL_KEYWORDS and not _is_void(name, node[name]):
                self.lost[name] = None
        return found

    def _meet(self, one: Schema | None, other: Schema | None) -> Schema | None:
        return None if one is None or other is None else meet(one, other, self.lost)

    def _referred(self, reference: Any, way: tuple[str, ...]) -> Schema | None:
        if not isinstance(reference, str):
            raise self._malformed("'$ref' must be a string")
        if not reference.startswith("#"):
            message = f"The schema refers to '{reference}', which is not part of it."
            raise Inexpressible(message, param=self._param)
        if reference in way or reference in ("#", "#/"):
            raise Inexpressible(f"The schema refers to itself: '{reference}'.", param=self._param)
        return self.schema(self._target(reference), (*way, reference))

    def _target(self, reference: str) -> Any:
        """What a reference means, a JSON Pointer (RFC 6901)."""
        node = self._root
        for step in urllib.parse.unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            else:
                raise self._malformed(f"'{reference}' refers to nothing")
        if node is self._root:
            raise Inexpressible(f"'{reference}' is not a reference that can be followed.", param=self._param)
        return node

    def _alternatives(self, node: Schema, name: str, way: tuple[str, ...]) -> Schema | None:
        """`anyOf`, and `oneOf` as if it were that."""
        branches = [found for each in self._list(node, name) if (found := self.schema(each, way)) is not None]
        if name == "oneOf" and not are_apart(branches):
            self.lost[name] = None
        return any_of(branches)

    def _own(self, node: Schema, way: tuple[str, ...]) -> Schema | None:
        """What a schema says without those that it is made of."""
        values = self._values(node)
        types = self._types(node)
        has_null = (types is None or "null" in types) and (values is None or None in values)
        said = None if values is None else [value for value in values if value is not None]
        others = None if types is None else [name for name in types if name != "null"]
        if others == [] or said == []:
            return {"type": "null"} if has_null else None
        if others is None:
            branches = [self._typed(None, node, said, way)]
        else:
            branches = [self._typed(name, node, said, way) for name in others]
        found = any_of([branch for branch in branches if branch is not None])
        if found is None:
            return {"type": "null"} if has_null else None
        if has_null and not accepts_null(found):
            found["nullable"] = True
        description = node.get("description")
        if isinstance(description, str) and description and len(branches) > 1:
            found["description"] = description
        return found

    def _typed(self, name: str | None, node: Schema, values: list[Any] | None, way: tuple[str, ...]) -> Schema | None:
        """What a schema says of values of a type; of all where `name` is None."""
        found: Schema = {} if name is None else {"type": name}
        if values is not None:
            said = [value for value in values if name is None or is_of(value, name)]
            if not said:
                return None
            found["enum"] = said
            if name is None and (inferred := type_of(said)) is not None:
                found["type"] = inferred
        description = node.get("description")
        if isinstance(description, str) and description:
            found["description"] = description
        for keyword in _ALL_KEYWORDS if name is None else _KEYWORDS[name]:
            if keyword in node:
                self._say(keyword, node[keyword], found, node, way)
        required = found.get("required", ())
        if required:  # what is required must be declared
            properties = found.setdefault("properties", {})
            for member in required:
                properties.setdefault(member, {})
        return found

    def _say(self, keyword: str, value: Any, found: Schema, node: Schema, way: tuple[str, ...]) -> None:
        if keyword == "properties":
            self._say_properties(value, found, way)
        elif keyword in ("items", "prefixItems"):
            self._say_items(found, node, way)
        elif keyword == "required":
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise self._malformed("'required' must be a list of strings")
            if value:
                found["required"] = list(dict.fromkeys(value))
        elif keyword == "format":
            self._say_format(value, found)
        elif keyword == "pattern":
            if not isinstance(value, str):
                raise self._malformed("'pattern' must be a string")
            found["pattern"] = value
        else:
            self._say_bound(keyword, value, found, node)

    def _say_properties(self, value: Any, found: Schema, way: tuple[str, ...]) -> None:
        if not isinstance(value, dict):
            raise self._malformed("'properties' must be an object")
        for name, each in value.items():
            written = self.schema(each, way)
            if written is None:
                self.lost["properties"] = None  # that it must not be there
            else:
                found.setdefault("properties", {})[name] = written

    def _say_items(self, found: Schema, node: Schema, way: tuple[str, ...]) -> None:
        """`items` beside `prefixItems` is of those that follow: in one word, each is one of all."""
        prefix = self._list(node, "prefixItems")
        items = node.get("items", True)
        if isinstance(items, list):  # how older drafts write `prefixItems`
            prefix, items = items, node.get("additionalItems", True)
        written = [self.schema(each, way) for each in (*prefix, items)]
        if prefix:
            self.lost["prefixItems"] = None
            if items is False:
                found["maxItems"] = min(len(prefix), found.get("maxItems", len(prefix)))
        allowed = any_of([each for each in written if each is not None])
        if allowed is None:
            found["maxItems"] = 0
        elif allowed:
            found["items"] = allowed

    def _say_format(self, value: Any, found: Schema) -> None:
        """A format is only a hint: where it has no place it is said in words."""
        if not isinstance(value, str):
            raise self._malformed("'format' must be a string")
        if value in _FORMATS.get(found.get("type", ""), ()):
            found["format"] = value
        elif value:
            found["description"] = f"{found.get('description', '')} (format: {value})".lstrip()

    def _say_bound(self, keyword: str, value: Any, found: Schema, node: Schema) -> None:
        if isinstance(value, bool) and keyword.startswith("exclusive"):  # as draft 4 has it
            value = node.get("minimum" if keyword == "exclusiveMinimum" else "maximum") if value else None
            if value is None:
                return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._malformed(f"'{keyword}' must be a number")
        if not keyword.startswith("exclusive"):
            narrow(found, keyword, value)
        elif found.get("type") != "integer":
            self.lost[keyword] = None
            narrow(found, "minimum" if keyword == "exclusiveMinimum" else "maximum", value)
        elif keyword == "exclusiveMinimum":
            narrow(found, "minimum", int(value // 1) + 1)
        else:
            narrow(found, "maximum", -int(-value // 1) - 1)

    def _types(self, node: Schema) -> list[str] | None:
        given = node.get("type")
        if given is None:
            return None
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not names or not all(name in _KEYWORDS for name in names):
            raise self._malformed("'type' must be one of JSON Schema's types, or a list of them")
        if node.get("nullable") is True and "null" not in names:  # as OpenAPI has it
            names = [*names, "null"]
        if "number" in names:
            names = [name for name in names if name != "integer"]
        return list(dict.fromkeys(names))

    def _values(self, node: Schema) -> list[Any] | None:
        values = node.get("enum")
        if values is not None and not isinstance(values, list):
            raise self._malformed("'enum' must be a list")
        if "const" in node:
            const = node["const"]
            return [const] if values is None or any(is_same(const, value) for value in values) else []
        return values

    def _list(self, node: Schema, name: str) -> list[Any]:
        value = node.get(name, [])
        if not isinstance(value, list):
            raise self._malformed(f"'{name}' must be a list")
        return value

    def _malformed(self, reason: str) -> MalformedRequest:
        return MalformedRequest(f"Invalid schema: {reason}.", param=self._param)


def _is_void(name: str, value: Any) -> bool:
    """Whether a keyword that has no place here forbids nothing."""
    if name in ("additionalProperties", "unevaluatedProperties", "unevaluatedItems"):
        return value is True or value == {}
    return value is False if name in ("uniqueItems", "$recursiveAnchor") else value in ({}, [])
