"""A token endpoint that the test decides on, and the credentials that it knows."""

import base64
import json
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.running.upstreams import Script, Upstream, Visit

CLIENT_SECRET = "entra-client-secret"
REFRESH_TOKEN = "1//refresh-token"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY_TEXT = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class Authority:
    """Gives `token-1`, `token-2` and so on, each for `life_s` seconds, unless `script` says otherwise; `asked` are the
    questions, decoded."""

    def __init__(self, life_s: Any = 3600) -> None:
        self.life_s = life_s
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.script: Script | None = None
        self.given = 0
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self.upstream = Upstream(self._answer)
        self.url = f"http://127.0.0.1:{self.upstream.port}/token"

    def __enter__(self) -> "Authority":
        return self

    def __exit__(self, *_: object) -> None:
        self.upstream.close()

    @property
    def token(self) -> str:
        """The newest token."""
        return f"token-{self.given}"

    def give(self, visit: Visit, **members: Any) -> None:
        """Give a token."""
        with self._lock:
            self.given += 1
            token = self.token
        answer = {"token_type": "Bearer", "expires_in": self.life_s, "access_token": token, **members}
        visit.whole(200, json.dumps(answer).encode())

    def _answer(self, visit: Visit) -> None:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            form = dict(urllib.parse.parse_qsl(visit.body.decode()))
            self.asked.append(form)
            self.paths.append(visit.head.split(b" ", 2)[1].decode())
            (self.script or self.give)(visit)
        finally:
            with self._lock:
                self._at_once -= 1


def service_account(folder: Path, token_uri: str, **members: Any) -> Path:
    """A service account's file."""
    path = folder / "service-account.json"
    file = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "key-1",
        "private_key": KEY_TEXT,
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": token_uri,
        **members,
    }
    path.write_text(json.dumps(file))
    return path


def authorized_user(folder: Path, token_uri: str) -> Path:
    """What `gcloud auth application-default login` leaves."""
    path = folder / "authorized-user.json"
    file = {
        "type": "authorized_user",
        "client_id": "client",
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
        "quota_project_id": "quota-project",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(file))
    return path


def claims_of(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a JWT whose signature is good."""
    signed, _, signature = assertion.rpartition(".")
    KEY.public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    header, claims = signed.split(".")
    return json.loads(_decoded(header)), json.loads(_decoded(claims))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
