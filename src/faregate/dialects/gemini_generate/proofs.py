"""Thought signatures. A client of this dialect gives them back as they came; those that another dialect's provider made
travel in them with that dialect's name, so that only it sees them again."""

import base64
import binascii

from ...core.conversation import Thinking

NAME = "gemini_generate"
# What the API takes instead of a proof that is lost (Gemini API docs, "Thought signatures", FAQ).
LOST = "skip_thought_signature_validator"

_MARK = b"faregate:"


def sealed(signature: str, signed_by: str, *, is_redacted: bool = False) -> str:
    """A signature for a client of this dialect; empty for none."""
    if not signature or signed_by in ("", NAME):
        return signature
    kind = "redacted" if is_redacted else "signature"
    return base64.b64encode(_MARK + f"{signed_by}:{kind}:{signature}".encode()).decode()


def unsealed(given: str) -> tuple[str, str, bool]:
    """What a client gives back: signature, whose it is, and whether it is of thoughts that only that one can read."""
    if not given:
        return "", "", False
    try:
        plain = base64.b64decode(given + "=" * (-len(given) % 4), validate=True)
        if plain.startswith(_MARK):
            signed_by, kind, signature = plain[len(_MARK) :].decode().split(":", 2)
            return signature, signed_by, kind == "redacted"
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    return given, NAME, False


def thinking_of(text: str, given: str) -> Thinking:
    """A thought that a client gives back."""
    signature, signed_by, is_redacted = unsealed(given)
    if is_redacted:
        return Thinking(redacted=signature, signed_by=signed_by)
    return Thinking(text=text, signature=signature, signed_by=signed_by)
