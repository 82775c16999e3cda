"""What the bodies of all dialects have in common: a JSON object whose members are checked, and kept as they came."""

import re
from typing import Any

import msgspec

from ..core.choices import with_choices
from ..core.errors import MalformedRequest
from .schemas import check_references

MEMBERS_MAX = 1_000
TOOLS_MAX = 512  # four times what OpenAI takes

Members = dict[str, msgspec.Raw]
Extra = dict[str, msgspec.Raw]
NULL = msgspec.Raw(b"null")

_BACKSLASH = b"\\"[0]

_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|[c-fC-F][0-9a-fA-F]{2})"
)
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_AT = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"Object missing required field `(.*)`")

members_decoder = msgspec.json.Decoder(Members)


def decode_members(body: bytes) -> Members:
    """The top-level members of a JSON object. MalformedRequest for anything else (F66, F67)."""
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedRequest("The body is not valid UTF-8.") from None
    # The first of these looks for a byte, which is far cheaper than to look for two.
    if _BACKSLASH in body and body.find(b"\\u") >= 0 and _has_lone_surrogate(body):
        raise MalformedRequest("The body holds half of a surrogate pair.")
    try:
        members = members_decoder.decode(body)
    except msgspec.ValidationError:
        raise MalformedRequest("The body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise MalformedRequest(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    if len(members) > MEMBERS_MAX:
        raise MalformedRequest(f"The body may have at most {MEMBERS_MAX} members.")
    return members


def decode(decoder: "msgspec.json.Decoder[Any]", raw: bytes | msgspec.Raw, within: str = "") -> Any:
    """`raw` decoded. MalformedRequest with the path of what does not fit, which begins with `within`."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        reason = with_choices(error, decoder.type)
        found = _AT.search(reason)
        inside = found[1].partition("[...]")[0] if found else ""  # a value of an object whose names are the client's
        param = within + ("." if within and inside and inside[0] != "[" else "") + inside
        reason = _AT.sub("", reason)
        missing = _MISSING.fullmatch(reason)
        if missing is not None:
            param = f"{param}.{missing[1]}".lstrip(".")
            raise MalformedRequest(f"Missing required parameter: '{param}'.", param=param) from None
        raise MalformedRequest(f"Invalid value for '{param}': {reason}.", param=param) from None
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRequest(f"Invalid value for '{within}'.", param=within or None) from None


def keep_unknown(raw: msgspec.Raw, known: frozenset[str], path: str, extra: Extra) -> Members:
    """The members of the object `raw` at `path`, those that are not known put into `extra`."""
    members = members_decoder.decode(raw)
    for name, value in members.items():
        if name not in known and bytes(value) != b"null":
            extra[f"{path}.{name}"] = value
    return members


def missing(path: str) -> MalformedRequest:
    """The error for a member that must be there."""
    return MalformedRequest(f"Missing required parameter: '{path}'.", param=path)


def wrong(path: str, reason: str, kind: str | None = None) -> MalformedRequest:
    """The error for a value that may not be."""
    return MalformedRequest(f"Invalid value for '{path}': {reason}.", param=path, kind=kind)


def schema_object(raw: msgspec.Raw, path: str) -> msgspec.Raw | None:
    """A client's JSON Schema, kept as it came; None for null. MalformedRequest where it is no object, or refers to what
    is not part of it."""
    schema = bytes(raw)
    if schema == b"null":
        return None
    if schema[:1] != b"{":
        raise wrong(path, "it must be an object")
    check_references(raw, path)
    return msgspec.Raw(schema)


def arguments_object(text: str, path: str) -> str:
    """The text of a call's arguments, "{}" where there are none. MalformedRequest where it is no JSON object."""
    if not text.strip():
        return "{}"
    if not is_object(text):
        raise wrong(path, "not the JSON of an object")
    return text


def is_object(text: str) -> bool:
    """Whether a text is the JSON of an object."""
    try:
        members_decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _has_lone_surrogate(body: bytes) -> bool:
    """Whether a \\u escape names half of a pair, which no UTF-8 can carry on (RFC 8259 section 8.2)."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return False
    return _LONE_SURROGATE.search(_PAIR.sub(b"", body.replace(b"\\\\", b""))) is not None
