"""Who calls, and may they: Callers turns a credential into a Caller, check() asks whether it may call, allow() which
model."""

import time
from collections.abc import Awaitable, Callable

from ..core.call import Call
from ..core.catalog import Model, Snapshot, is_name
from ..core.errors import InvalidKey, MalformedRequest, NotFound, NotPermitted
from ..core.identity import Caller, key_digest, key_id_of

CACHE_TTL_S = 30.0
_CACHED_MAX = 100_000
_UNKNOWN_MAX = 10_000

FindKey = Callable[[bytes, str], Awaitable[Caller | None]]
Agree = Callable[[str, Caller], Caller]


class Callers:
    """Proven keys, cached by their full digest for at most 30 s and until the directory changes (security.md S3).
    `agree` gives a caller its terms."""

    def __init__(self, pepper: bytes, find_key: FindKey, agree: Agree) -> None:
        self._pepper = pepper
        self._find_key = find_key
        self._agree = agree
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._unknown: dict[bytes, float] = {}
        self._good: dict[bytes, None] = {}
        self._generation = 0
        self.lookups = 0  # of keys, since the start

    @property
    def unknown(self) -> int:
        """How many keys are remembered to be none."""
        return len(self._unknown)

    def digest(self, presented: bytes) -> bytes:
        """The keyed hash of a presented key, by which it is known."""
        return key_digest(self._pepper, presented)

    def cached(self, digest: bytes) -> Caller | None:
        """The caller of a key that was proven a moment ago."""
        found = self._known.get(digest)
        if found is None or found[1] < time.monotonic():
            return None
        return found[0]

    def was_good(self, digest: bytes) -> bool:
        """Whether a key was a good one when it was last looked up, however long ago, whatever has changed since."""
        return digest in self._good

    async def prove(self, presented: bytes, digest: bytes, prefix: bytes, house_name: str) -> Caller:
        """The caller behind `presented`, a key that begins with the `prefix` of a house. InvalidKey, the same for
        whatever is wrong with it."""
        key_id = key_id_of(presented, prefix)
        if key_id is None:
            raise InvalidKey
        now = time.monotonic()
        if self._unknown.get(digest, 0.0) > now:
            raise InvalidKey
        generation = self._generation
        self.lookups += 1
        caller = await self._find_key(digest, key_id)
        if generation != self._generation:
            caller = await self._find_key(digest, key_id)  # the directory changed while we looked
        if caller is None:
            if len(self._unknown) >= _UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown[digest] = now + CACHE_TTL_S
            self._good.pop(digest, None)
            raise InvalidKey
        caller = self._agree(house_name, caller)
        if len(self._known) >= _CACHED_MAX:
            self._known.clear()
        self._known[digest] = (caller, now + CACHE_TTL_S)
        if len(self._good) >= _CACHED_MAX:
            self._good.clear()
        self._good[digest] = None
        return caller

    def forget(self) -> None:
        """The directory has changed: prove every key anew."""
        self._generation += 1
        self._known.clear()
        self._unknown.clear()


def check(caller: Caller, client_address: str) -> None:
    """Whether a proven caller may call at all, now and from there. InvalidKey, NotPermitted."""
    if caller.expires_at is not None and caller.expires_at <= time.time():
        raise InvalidKey
    if caller.allowed_networks and not caller.may_call_from(client_address):
        raise NotPermitted("This key may not be used from this address.", kind="address_not_allowed")
    if caller.disabled:
        raise disabled()


def disabled() -> NotPermitted:
    """The refusal of a caller whose organisation or project is disabled."""
    return NotPermitted("API access is disabled for this account.", kind="account_disabled")


def billed_project(caller: Caller, named: str) -> str:
    """The project that a call names to be billed to. NotPermitted where the key may not."""
    if named != caller.project_id and named not in caller.bills:
        raise NotPermitted("This key may not bill that project.", kind="project_not_allowed")
    return named


def allow(call: Call) -> Model:
    """The model that the call asks for, where its caller may use it. MalformedRequest, NotFound, NotPermitted."""
    caller, name, snapshot = call.caller, call.request.model, call.snapshot
    model_id = snapshot.resolve(name)
    if model_id is None and not is_name(name):
        raise MalformedRequest("'model' is not the name of a model.", param="model")
    call.record.model_asked = name  # not before: what is no name is not written down (F71, F103)
    if model_id is None:
        successor = snapshot.successors.get(name)
        hint = f" It is retired; its successor is '{successor}'." if successor else ""
        raise NotFound(f"The model '{name}' does not exist.{hint}", kind="model_not_found", param="model")
    if caller.allowed_models and not _names(caller.allowed_models, model_id, snapshot):
        raise NotPermitted(f"This key may not use the model '{name}'.", param="model")
    for names in call.terms.models:
        if not _names(names, model_id, snapshot):
            raise NotPermitted(f"The model '{name}' is not in your plan.", param="model")
    model = snapshot.models[model_id]
    if call.request.has_images or call.request.has_audio:
        takes(model, images=call.request.has_images, audio=call.request.has_audio)
    return model


def takes(model: Model, *, images: bool, audio: bool) -> None:
    """Whether a model can see and hear what it is given. MalformedRequest where it is known that it cannot."""
    if images and model.capabilities.images is False:
        raise MalformedRequest(f"The model '{model.id}' does not take images.", kind="vision_not_supported_by_model")
    if audio and model.capabilities.audio is False:
        raise MalformedRequest(f"The model '{model.id}' does not take audio.", kind="audio_not_supported_by_model")


def may_use(caller: Caller, project_id: str, model_id: str, snapshot: Snapshot) -> bool:
    """Whether the key's list of models, if it has one, and those that hold while it bills a project name this model."""
    if caller.allowed_models and not _names(caller.allowed_models, model_id, snapshot):
        return False
    return all(_names(names, model_id, snapshot) for names in caller.terms_for(project_id).models)


def _names(names: frozenset[str], model_id: str, snapshot: Snapshot) -> bool:
    """Whether a list names a model by its id or any of its names."""
    return model_id in names or any(snapshot.resolve(name) == model_id for name in names)
