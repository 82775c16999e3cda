"""What is served: models, the targets that serve them, and the immutable snapshot a call is decided on.

Names resolve by contract.md 3.1: as written by the operator, then in the catalogue, then in its dated alias table;
then, with a known vendor prefix taken off and `.` between digits read as `-`, the name must match exactly one model.
There is no nearest match, ever.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from .money import Price

_NAME_CHARACTERS_MAX = 256
_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._:/@+~ -]*\Z")
_DATED = re.compile(r"-(?:\d{4}-?\d{2}-?\d{2}|\d{4})\Z")
_DOT_BETWEEN_DIGITS = re.compile(r"(?<=\d)\.(?=\d)")


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model takes, as far as a request to it must be written with regard to it; None: not known.

    `sampling`: temperature and its like, other than their defaults. `structured_outputs`: its providers hold its answer
    to a JSON Schema. `thinking`: how it is told to think, by a budget of tokens, by an effort as it sees fit
    (`adaptive`) or by a level. `reasoning`: it thinks before it speaks, and wants OpenAI's rules for such models.
    `thought_signatures`: it refuses its own tool calls without the proofs that came with them. `reasoning_replay`: the
    member in which it wants its own thoughts back with a tool call. `prefill`: it goes on with an answer that the
    client has begun. `images`, `audio`, `documents`: it takes them as input. `output_member`: what OpenAI's dialect
    calls the bound on its output.
    """

    sampling: bool | None = None
    structured_outputs: bool | None = None
    thinking: Literal["budget", "adaptive", "level"] | None = None
    reasoning: bool | None = None
    thought_signatures: bool | None = None
    reasoning_replay: Literal["reasoning_content"] | None = None
    prefill: bool | None = None
    images: bool | None = None
    audio: bool | None = None
    documents: bool | None = None
    output_member: Literal["max_tokens", "max_completion_tokens"] | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the client knows it. Window and output are in tokens, `created` in unix seconds.

    `price` is the operator's, or the list price of the vendor's own host, or of the first that has one, with the
    operator's margin, or that of the providers that serve it. None: nobody has said it, and what needs a price takes
    the operator's default (`Settings.prices.default_price`) or refuses the model. A request for it may take
    `longest_request_s`, if nothing else says less, and its stream may take `first_byte_timeout_s` to begin. Where
    nobody can serve it, the first of its `fallbacks` that can takes its place.
    """

    id: str
    vendor: str
    family: str = ""
    created: int = 0
    context_window: int | None = None
    max_output_tokens: int | None = None
    kind: str = "chat"
    tags: tuple[str, ...] = ()
    shutdown_date: str | None = None
    successor: str | None = None
    longest_request_s: float | None = None
    first_byte_timeout_s: float | None = None
    fallbacks: tuple[str, ...] = ()
    price: Price | None = None
    capabilities: Capabilities = Capabilities()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One way to reach a model: a provider, the name it has there, and where that is. `zero_retention`: nothing of a
    request is kept there, by the operator's word."""

    provider: str
    upstream_model: str
    region: str = "default"
    replica: str = "default"
    weight: int = 1
    zero_retention: bool = False


class Candidate(msgspec.Struct, frozen=True):
    """A model that may answer a call, and the targets that it may be had from, in the order to be tried. `depth` is 0
    for the one that the client asked for, else how many fallbacks have been come to with this one."""

    model: Model
    targets: tuple[Target, ...]
    depth: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a call is decided on, fixed at its admission.

    `names` maps every exact name and alias to a model id; `normal_names` maps a normalised name to the ids it fits.
    """

    revision: int
    models: Mapping[str, Model]
    targets: Mapping[str, tuple[Target, ...]]
    names: Mapping[str, str]
    normal_names: Mapping[str, frozenset[str]]
    vendor_prefixes: frozenset[str]
    successors: Mapping[str, str]

    def only(self, names: Iterable[str]) -> "Snapshot":
        """This snapshot with no models but these, by any of their names; those that it does not serve are left out."""
        ids = {found for name in names if (found := self.resolve(name)) is not None}
        normal_names = {
            name: fitting & ids for name, fitting in self.normal_names.items() if not fitting.isdisjoint(ids)
        }
        return msgspec.structs.replace(
            self,
            models={name: model for name, model in self.models.items() if name in ids},
            targets={name: targets for name, targets in self.targets.items() if name in ids},
            names={name: found for name, found in self.names.items() if found in ids},
            normal_names=normal_names,
            successors={name: successor for name, successor in self.successors.items() if successor in ids},
        )

    def resolve(self, name: str) -> str | None:
        """The id of the one model that `name` means, or None."""
        found = self.names.get(name)
        if found is not None:
            return found
        candidates = self.normal_names.get(normal_name(name, self.vendor_prefixes))
        if candidates is None or len(candidates) != 1:
            return None
        return next(iter(candidates))


def is_name(text: str) -> bool:
    """Whether `text` could name a model at all; what could be a path or a header's end could not (F71, F72)."""
    return len(text) <= _NAME_CHARACTERS_MAX and _NAME.match(text) is not None and ".." not in text and "//" not in text


def normal_name(name: str, vendor_prefixes: Iterable[str]) -> str:
    """`name` without a known vendor prefix and with `.` between digits read as `-` (contract.md 3.1)."""
    vendor, slash, rest = name.partition("/")
    bare = rest if slash and vendor in vendor_prefixes else name
    return _DOT_BETWEEN_DIGITS.sub("-", bare)


def is_form_of(written: str, asked: str) -> bool:
    """Whether `written` is `asked` or a dated form of it (contract.md 3.1)."""
    return written == asked or (written.startswith(asked) and _DATED.fullmatch(written, len(asked)) is not None)


def model_shown(written: object, asked: str) -> str:
    """A model's name for a client that asked for `asked`: the upstream's where that is a form of it, else `asked`."""
    return written if isinstance(written, str) and is_form_of(written, asked) else asked
