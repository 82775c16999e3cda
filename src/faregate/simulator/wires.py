"""What a wire is: how its requests are read and its answers written. Each wire is a folder, its record is `WIRE`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .answer import Answer
from .framing import Frame, Framing, Spoiler
from .models import Models
from .question import Question
from .refused import Refused

Headers = Mapping[bytes, bytes]
Fields = list[tuple[str, str]]

# The faults that embeddings have no place for: they are not streamed, have no finish and are not cached.
NOT_OF_EMBEDDINGS = frozenset({"no_finish", "twice", "cumulative", "cached_over_prompt"})


class Call(NamedTuple):
    """What is asked of a wire besides the body: an answer to it or how many tokens it is; of which model and in which
    way, where the path says so; under which version of the wire."""

    operation: Literal["answer", "count"] = "answer"
    model: str = ""
    stream: bool = False
    as_events: bool = True
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that was read: what the core answers, the body as its wire has it, and how a stream is framed."""

    question: Question
    body: Any
    framing: Framing


def _unsigned(_method: bytes, _target: bytes, _headers: Headers, _body: bytes) -> None:
    """Nothing is signed."""


def _no_fields(_refused: Refused) -> Fields:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One provider's way to speak.

    `authorize` gives the credential's field and text, or Refused. `call` gives what path, query and headers say of a
    request (its operation and model are the route's), or Refused; `read` what its body says, or Refused. `whole` and
    `frames` write an answer, `count` a number of tokens, `error` a refusal for a request id, `models` the list or the
    one of a name. `fields` are the header fields of every answer; `spoiler` makes the frame that spoils a stream.
    `without` are the faults of usage and the malformations that it has no place for. `verify` raises Refused for a
    request (its method, path and query as sent, head, body) that is not signed as it says; `error_fields` are further
    fields of a refusal.
    """

    name: str
    authorize: Callable[[Headers, dict[str, str]], tuple[str, str]]
    call: Callable[[Call, Headers, dict[str, str]], Call]
    read: Callable[[bytes, Call], Asked]
    answer: Callable[[Question], Answer]
    whole: Callable[[Asked, Answer], Any]
    frames: Callable[[Asked, Answer], Iterator[Frame]]
    error: Callable[[Refused, str], Any]
    fields: Callable[[str], Fields]
    spoiler: Spoiler
    count: Callable[[int], Any] | None = None
    models: Callable[[Models, str, dict[str, str]], Any] | None = None
    without: frozenset[str] = frozenset()
    verify: Callable[[bytes, bytes, Headers, bytes], None] = _unsigned
    error_fields: Callable[[Refused], Fields] = _no_fields


def never_streamed(_asked: Asked, _answer: Answer) -> Iterator[Frame]:
    """The frames of a wire that has no streams."""
    return iter(())


def bearer(headers: Headers) -> str | None:
    """The bearer token of a request, if it has one."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        return None
    return key.strip().decode("latin-1")
