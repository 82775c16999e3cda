"""The order of checks (contract.md section 9): requests with many flaws, of which the first in the order is told."""

from tests.running.client import CHAT, Answer, Caller, eventually
from tests.running.processes import Gateway

from .tenants import tenant_of

IMAGE = "data:image/png;base64,iVBORw0KGgo="
_LONG = "word " * 400


def climb(gateway: Gateway, project_field: str, retention_field: str) -> dict[str, Answer]:
    """What a key is told that may use phi-4 alone, for short prompts, once a minute, and has no credit: the refusal of
    each step by its name. Each request has the flaws of the steps that follow too."""
    tenant = tenant_of(gateway, "ladder")
    caller = tenant.key("--model", "phi-4", "--context-tokens", "300", "--requests-per-minute", "1", model="phi-4")
    stranger = Caller(gateway, "no-key-of-ours", "phi-4")
    elsewhere = {project_field: "another's"}
    kept_by_none = {retention_field: "true"}
    seen = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}, _text(_LONG)]}]
    long = [{"role": "user", "content": _LONG}]
    answers = {
        "key": stranger.ask("PUT", "/v1/nowhere", b"{", elsewhere),
        "route": caller.ask("PUT", "/v1/nowhere", b"{", elsewhere),
        "method": caller.ask("PUT", CHAT, b"{", elsewhere),
        "project": caller.ask("POST", CHAT, b"{", elsewhere),
        "body": caller.chat(headers=kept_by_none, model="no-such-model", messages=seen, temperature=9),
        "model": caller.chat(headers=kept_by_none, model="no-such-model", messages=seen),
        "plan": caller.chat(headers=kept_by_none, model="gpt-4o", messages=seen),
        "capability": caller.chat(headers=kept_by_none, messages=seen),
        "retention": caller.chat(headers=kept_by_none, messages=long),
        "context": caller.chat(messages=long),
        "funds": caller.chat(),
        "rate": caller.chat(),
    }
    gateway.command("orgs", "disable", tenant.organisation)
    answers["account"] = eventually(
        lambda: (found := caller.ask("PUT", "/v1/nowhere", b"{", elsewhere)).status == 403 and found
    )
    for answer in answers.values():
        waits = "retry-after" in answer.names
        assert waits == (answer.status == 429 or answer.status >= 500), answer
    return answers


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
