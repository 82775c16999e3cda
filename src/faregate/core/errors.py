"""The error tree: what can go wrong with a call, and whose fault it is.

    CallError                     a call ends without its answer
    ├── CallerError               the client can mend it (4xx)
    │   ├── MalformedRequest      a body or parameter that is not what it must be
    │   │   └── Inexpressible     a good one that the model's provider cannot be told
    │   ├── InvalidKey            no key, or none of ours
    │   ├── NotPermitted          a good key that may not do this
    │   ├── NoFunds               credit or budget does not cover the highest possible cost
    │   ├── LimitExceeded         a limit of ours is reached for now
    │   ├── NotFound              no such resource, model or route
    │   ├── TooLarge              a body, head or list over its cap
    │   ├── KeyTaken              an idempotency key whose answer cannot be given, and which is not run again
    │   ├── UpstreamRefused       the provider's own 4xx, passed on with its words
    │   └── SchemaMissed          answers that are not what the client's schema allows
    ├── UpstreamError             the provider's fault (503)
    │   ├── UpstreamUnavailable   down, or sending garbage
    │   │   └── UpstreamDenied    refusing us, until the operator mends it
    │   └── UpstreamLimited       rate limits us
    ├── DeadlineExceeded          the longest request is over
    └── GatewayError              our own fault, or our own overload
    ClientGone                    nobody is left to answer; not an error of the call

A `kind` names the row of the house's error table (contract.md section 9), which alone decides status, type,
code and members. Messages are for the client: no secret, no path, no traceback.
"""


class CallError(Exception):
    """A call ended without its answer.

    `message` is shown to the client; `param` names the parameter at fault; `retry_after_s` becomes Retry-After.
    """

    kind = "internal_error"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if kind is not None:
            self.kind = kind


class CallerError(CallError):
    """The client can mend it."""

    kind = "malformed_request"


class MalformedRequest(CallerError):
    """The request is not what it must be; `param` is the path of the parameter at fault."""


class Inexpressible(MalformedRequest):
    """What the dialect of the model's provider cannot say, and what must not be left out in silence. `param` is a field
    of a Conversation, or a path of its `extra`, until the client's dialect has put its own name there."""

    kind = "unsupported_parameter"

    def __init__(self, message: str, *, param: str, kind: str | None = None) -> None:
        super().__init__(message, param=param, kind=kind)


class InvalidKey(CallerError):
    """No key, or none of ours. The message never says which (security.md S4)."""

    kind = "invalid_key"

    def __init__(self, message: str = "Invalid API key provided.") -> None:
        super().__init__(message)


class NotPermitted(CallerError):
    """A good key that may not do this: disabled account, model outside the key's list."""

    kind = "model_not_available"


class NoFunds(CallerError):
    """The credit, or a budget, does not cover what the call may cost at most."""

    kind = "insufficient_funds"

    def __init__(self, message: str = "Insufficient balance. Top up to continue.") -> None:
        super().__init__(message)


class LimitExceeded(CallerError):
    """A limit of ours is reached: of requests, tokens, calls at the same time, or of an address. Nothing was taken.
    `is_final`: waiting alone does not help."""

    kind = "limit_exceeded"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float, is_final: bool = False) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.is_final = is_final


class NotFound(CallerError):
    """No such resource, model or route."""

    kind = "not_found"


class TooLarge(CallerError):
    """A body, head or list over its cap."""

    kind = "body_too_large"


class KeyTaken(CallerError):
    """An idempotency key that was used before, and the answer under it cannot be given: another body (the kind
    `idempotency_conflict`), a run under way elsewhere (`idempotency_in_progress`, with `retry_after_s`), an answer
    that is not there any more (`idempotency_answer_gone`). It is never run again."""

    kind = "idempotency_conflict"


class UpstreamRefused(CallerError):
    """The provider's own 4xx: its status, type, code and param stand; its message is redacted before it gets here."""

    kind = "upstream_refused"

    def __init__(
        self, message: str, *, status: int, error_type: str | None, code: str | None, param: str | None
    ) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.error_type = error_type
        self.code = code


class SchemaMissed(CallerError):
    """The model's answer is not what the client's JSON Schema allows, and was not when it was asked again."""

    kind = "schema_validation_failed"


class UpstreamError(CallError):
    """The provider's fault: another target may be tried while the client has seen nothing. `reason` is what the
    operator is told in the log; the client is not, and nothing of what was said is in it. It `is_worth_retrying` for
    the client where not everything is known to be down. It `is_sickness` where it speaks against the target: not where
    a request may have brought it about that others do not share."""

    kind = "upstream_unavailable"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = 1.0,
        status: int = 0,
        reason: str | None = None,
        is_worth_retrying: bool = True,
        is_sickness: bool = True,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status
        self.reason = reason or message
        self.is_worth_retrying = is_worth_retrying
        self.is_sickness = is_sickness


class UpstreamUnavailable(UpstreamError):
    """Down, or sending garbage."""


class UpstreamDenied(UpstreamUnavailable):
    """Refusing our key, or out of our credit, whatever the model: only the operator can mend it."""


class UpstreamLimited(UpstreamError):
    """The provider rate-limits us; `retry_after_s` is what it asked for, None where it named no time: then it may be
    that only this request is too large for its limit."""

    kind = "upstream_rate_limited"


class DeadlineExceeded(CallError):
    """The longest request (contract.md 3.7) is over."""

    kind = "request_timeout"


class GatewayError(CallError):
    """Our own fault."""


class Overloaded(GatewayError):
    """We shed load; the client may come back."""

    kind = "overloaded"
    retryable = True


class ClientGone(Exception):
    """The client has left: nobody is to be answered, the upstream is to be closed."""
