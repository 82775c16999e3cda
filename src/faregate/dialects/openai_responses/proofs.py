"""`encrypted_content` of reasoning items, which carries the proofs of any provider's thoughts (conformance.md 2.1).

What this dialect's own providers gave goes through as it is. Another dialect's proof is written with a mark, the
dialect's name, and whether it is a signature or thinking that only its provider can read.
"""

from ...core.conversation import Thinking

NAME = "openai_responses"
_MARK = "faregate1"
_KINDS = ("signature", "redacted")


def encrypted_of(thinking: Thinking) -> str | None:
    """What proves a thought, for a client; None where nothing does."""
    kind = "signature" if thinking.signature else "redacted"
    proof = thinking.signature or thinking.redacted
    if not proof or thinking.signed_by == NAME:
        return proof or None
    return f"{_MARK}:{thinking.signed_by}:{kind}:{proof}"


def thinking_of(text: str, encrypted: str | None) -> Thinking:
    """A thought of a reasoning item's words and proof."""
    if not encrypted:
        return Thinking(text=text)
    mark, _, rest = encrypted.partition(":")
    signed_by, _, rest = rest.partition(":")
    kind, _, proof = rest.partition(":")
    if mark != _MARK or kind not in _KINDS:
        return Thinking(text=text, signature=encrypted, signed_by=NAME)
    if kind == "redacted":
        return Thinking(redacted=proof, signed_by=signed_by)
    return Thinking(text=text, signature=proof, signed_by=signed_by)
