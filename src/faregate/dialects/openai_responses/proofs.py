"""`encrypted_content` of reasoning items, which carries the proofs of any provider's thoughts (conformance.md 2.1).

What this dialect's own providers gave goes through as it is. It proves the item of that id alone ("Encrypted content
item_id did not match the target item id", says the API), so the id is the first part of the signature that clients of
other dialects see, and the item has its own id for those of this one. Another dialect's proof is written with a mark,
the dialect's name, and whether it is a signature or thinking that only its provider can read.
"""

from ...core.conversation import Thinking

NAME = "openai_responses"
_MARK = "faregate1"
_OF = ":"
_KINDS = ("signature", "redacted")


def encrypted_of(thinking: Thinking) -> str | None:
    """What proves a thought, for a client; None where nothing does."""
    kind = "signature" if thinking.signature else "redacted"
    proof = thinking.signature or thinking.redacted
    if not proof or thinking.signed_by == NAME:
        return named(proof)[1] or None
    return f"{_MARK}:{thinking.signed_by}:{kind}:{proof}"


def named(signature: str) -> tuple[str, str]:
    """The id of the item that a signature of this dialect is of, empty where it is not known, and its proof."""
    item_id, mark, encrypted = signature.rpartition(_OF)
    return (item_id, encrypted) if mark else ("", signature)


def item_id_of(thinking: Thinking) -> str:
    """The id that the item of a thought has to have; empty where any will do."""
    return named(thinking.signature)[0] if thinking.signed_by == NAME else ""


def thinking_of(text: str, encrypted: str | None, item_id: str = "") -> Thinking:
    """A thought of a reasoning item's words, proof and id."""
    if not encrypted:
        return Thinking(text=text)
    mark, _, rest = encrypted.partition(":")
    signed_by, _, rest = rest.partition(":")
    kind, _, proof = rest.partition(":")
    if mark != _MARK or kind not in _KINDS:
        signature = f"{item_id}{_OF}{encrypted}" if item_id else encrypted
        return Thinking(text=text, signature=signature, signed_by=NAME)
    if kind == "redacted":
        return Thinking(redacted=proof, signed_by=signed_by)
    return Thinking(text=text, signature=proof, signed_by=signed_by)
