"""What every call of this process shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.catalog import Snapshot
from ..core.limits import Counters
from ..dialects import Dialect, Upstream
from ..ledger.budgets import BudgetAccounts
from ..ledger.ledger import Ledger
from ..providers import Provider
from ..telemetry.redactor import Redactor
from ..wire.client import Client
from ..wire.deadlines import Deadlines
from .expectations import Expectations
from .health import Health
from .responses import ResponseStates
from .thoughts import KeptThoughts
from .unattended import Unattended

if TYPE_CHECKING:
    from .funds import Tariffs


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLimits:
    """Deadlines (seconds) and bounds of a call on its way."""

    connect_timeout_s: float = 3.0
    first_byte_timeout_s: float = 30.0
    idle_timeout_s: float = 30.0
    answer_bytes_max: int = 64 * 1024 * 1024
    attempts_max: int = 3
    repeats: bool = True  # a target that is the only one is asked a second time


@dataclass(slots=True, kw_only=True)
class Gate:
    """Built once by app.py. `snapshots`, by house, are replaced whole when what is served changes. `heads` keeps the
    heads of requests to providers, lengths left out, by all that they depend on."""

    client: Client
    deadlines: Deadlines
    snapshots: Mapping[str, Snapshot]
    providers: Mapping[str, Provider]
    dialects: Mapping[str, Dialect]
    upstreams: Mapping[str, Upstream]
    redact: Redactor
    ledger: Ledger
    budgets: BudgetAccounts
    counters: Counters
    tariffs: "Tariffs"
    expectations: Expectations
    unattended: Unattended
    health: Health = field(default_factory=Health)
    thoughts: KeptThoughts = field(default_factory=KeptThoughts)
    responses: ResponseStates = field(default_factory=ResponseStates)
    limits: FlowLimits = field(default_factory=FlowLimits)
    heads: dict[tuple[str, str, str, str, bool, bytes], bytes] = field(default_factory=dict)
