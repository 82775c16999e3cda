"""A JSON Schema that an answer must keep to, compiled once for all who send the same."""

import functools
from typing import Any

import jsonschema_rs
import msgspec

from .errors import MalformedRequest
from .schema_work import Unjudged, Work

SCHEMA_BYTES_MAX = 256 * 1024
_COMPILED_MAX = 128
_FAULTS_SHOWN_MAX = 3
_FAULT_CHARACTERS_MAX = 300
_EXPLAINED_WORK_MAX = 10_000  # to say what is wrong is a thousand times the work of knowing that something is
# A client's pattern may backtrack so many steps and no more: it is run while others wait.
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)


class Schema:
    """One schema. Texts are judged by it."""

    __slots__ = ("_validator", "_work")

    def __init__(self, validator: "jsonschema_rs.Validator", work: Work) -> None:
        self._validator = validator
        self._work = work

    def fault_of(self, text: str) -> str:
        """What is wrong with a text that should be the JSON of a fitting value, in the validator's words; "" where
        nothing is."""
        try:
            value: Any = msgspec.json.decode(text)
            work = self._work.of(value)
            if self._validator.is_valid(value):
                return ""
            if work > _EXPLAINED_WORK_MAX:
                return "it is not what the schema allows"
            errors = self._validator.iter_errors(value)
            return "; ".join(_words(error) for error, _ in zip(errors, range(_FAULTS_SHOWN_MAX), strict=False))
        except msgspec.DecodeError as error:
            return f"it is not JSON: {error}"
        except Unjudged as reason:
            return str(reason)
        except (ValueError, RecursionError):
            return "it is nested too deeply"


def _words(error: "jsonschema_rs.ValidationError") -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    said = error.message if len(error.message) <= _FAULT_CHARACTERS_MAX else error.message[:_FAULT_CHARACTERS_MAX] + "…"
    return f"at ${where}: {said}"


def schema_of(raw: bytes, param: str) -> Schema:
    """The schema that `raw` is the JSON of. MalformedRequest, naming `param`, for what is none; nothing is ever fetched
    for one (a `$ref` to elsewhere is refused)."""
    if len(raw) > SCHEMA_BYTES_MAX:
        raise MalformedRequest(f"The schema in '{param}' is larger than {SCHEMA_BYTES_MAX} bytes.", param=param)
    compiled = _compiled(raw)
    if isinstance(compiled, str):
        raise MalformedRequest(f"The schema in '{param}' cannot be used: {compiled}", param=param)
    return compiled


@functools.lru_cache(_COMPILED_MAX)
def _compiled(raw: bytes) -> Schema | str:
    """The schema, or what is wrong with it."""
    try:
        value: Any = msgspec.json.decode(raw)
        validator = jsonschema_rs.validator_for(value, offline=True, pattern_options=_PATTERNS, validate_formats=False)
        return Schema(validator, Work(value))
    except jsonschema_rs.ValidationError as error:
        return error.message[:_FAULT_CHARACTERS_MAX]
    except (AttributeError, TypeError):
        return "what it says is not in order"
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        return str(error).partition("\n")[0][:_FAULT_CHARACTERS_MAX]
