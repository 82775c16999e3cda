"""Takes secrets out of text that came from outside, before anyone sees it (security.md S15, F89)."""

import re
from collections import deque

STARS = "***"

_LOOKS_SECRET = re.compile(
    r"""\b(?:sk|pk|rk|gsk|xai|key|tok|idc_live|al|AIza|hf|r8|fw|tgp)[-_][A-Za-z0-9_\-*.]{6,}
    | \bAIza[A-Za-z0-9_\-]{10,}
    | (?i:bearer)\s+[A-Za-z0-9._~+/=\-*]{6,}
    | \beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*""",
    re.VERBOSE,
)


_LEARNED_MAX = 64  # tokens that were renewed; the oldest have expired long ago


class Redactor:
    """Knows the live secrets and what secrets look like."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 6)
        self._learned: deque[str] = deque(maxlen=_LEARNED_MAX)

    def learn(self, secret: str) -> None:
        """A secret that was not there at the start."""
        self._learned.append(secret)

    def __call__(self, text: str) -> str:
        """`text` with every known secret, and whatever looks like one, replaced by stars."""
        for secret in (*self._secrets, *self._learned):
            text = text.replace(secret, STARS)
        return _LOOKS_SECRET.sub(STARS, text)
