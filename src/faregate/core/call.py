"""A call and what is remembered of it."""

import enum

import msgspec

from .catalog import Snapshot
from .chat import ChatRequest
from .conversation import Conversation, Message
from .identity import Caller
from .money import Tariff
from .plans import UNLIMITED, Terms
from .schema import Schema
from .usage import NO_USAGE, Usage


class OnDisconnect(enum.StrEnum):
    """What becomes of a call whose client leaves."""

    CANCEL = "cancel"  # the provider's connection is closed; what was delivered is charged
    DRAIN = "drain"  # the answer is read to its end and charged, as the provider does
    NO_BILL = "no_bill"  # closed too; what is not whole is not charged


class UsageRecord(msgspec.Struct, kw_only=True, omit_defaults=False):
    """What is kept of a request for billing and debugging: ids, counters, times; never content (contract.md 7.6).

    Times to first byte and total are milliseconds from the request's last byte; `received_at` is unix seconds.
    """

    id: str
    received_at: float
    organisation_id: str = ""
    project_id: str = ""
    key_id: str = ""
    method: str = ""
    operation: str = ""
    dialect: str = ""
    client_address: str = ""
    client_request_id: str | None = None
    model_asked: str = ""
    model: str = ""
    fallback_from: str = ""  # the model that was asked for, where another has served in its place
    fallback_depth: int = 0
    provider: str = ""
    upstream_model: str = ""
    upstream_request_id: str | None = None
    region: str = ""
    replica: str = ""
    attempts: int = 0
    has_failed_over: bool = False  # a target was asked because another had failed; for the answer's head, not kept
    stream: bool = False
    status: int = 0
    error_kind: str | None = None
    usage: Usage = NO_USAGE
    first_byte_ms: float | None = None
    total_ms: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    hold_nano: int = 0
    cost_nano: int = 0
    price_version: str = ""
    upstream_error: str | None = None  # why a provider failed, the last of them; for the log alone
    token_rate: str = ""  # what its tokens cost, for the answer's head; not kept
    is_charged: bool = False  # its row is written with its charge, by the ledger


class Call(msgspec.Struct, kw_only=True):
    """One request on its way: who asks, for what, until when.

    `deadline_at` is on the loop's clock, seconds. `record` is filled on the way and kept at the end. `snapshot` is what
    it is decided on: what its house serves; `terms` are what it may be, and how it is counted. `region_hint` is where
    it would rather be served; nothing of it may be kept that is `no_retention`, here or there. `tariff` is what it
    costs, fixed at its admission, as are the `tariffs` of all that may answer it, where there are several, by model.

    Its client has left where it `is_deserted`, and runs on for its usage alone, or `is_waived`, and costs nothing
    unless its answer is whole. Where its dialect is not the provider's, `conversation` is what it says, and
    `dropped` and `adjusted` name the parameters that the provider was not told, or told otherwise (and, as
    `answer.NAME`, what its client could not be shown); it `is_strict` where nothing may be dropped. Where the
    gateway sees to it that the answer keeps to a schema, that is `schema`; a stream is then held back until it
    does, if it `is_held`. Once an answer did not, and the model is asked again, that answer's usage, cost and
    tariff are `earlier`, `earlier_nano` and `earlier_tariff`, and `correction` is what it is told besides.
    """

    id: str
    caller: Caller
    operation: str
    dialect: str
    request: ChatRequest
    deadline_at: float
    record: UsageRecord
    snapshot: Snapshot
    terms: Terms = UNLIMITED
    region_hint: str | None = None
    no_retention: bool = False
    tariff: Tariff | None = None
    tariffs: dict[str, Tariff] | None = None
    is_deserted: bool = False
    is_waived: bool = False
    is_strict: bool = False
    conversation: Conversation | None = None
    dropped: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()
    schema: Schema | None = None
    is_held: bool = False
    earlier: Usage | None = None
    earlier_nano: int = 0
    earlier_tariff: Tariff | None = None
    correction: tuple[Message, ...] = ()
