"""The pepper: the secret under which keys are hashed (security.md S2). It lives outside the database, in the
file `pepper` of the data directory or in FAREGATE_PEPPER, as `v1:` and 64 hex digits.
"""

import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from ..core.identity import key_digest
from .database import StoreError

VARIABLE = "FAREGATE_PEPPER"
FILE = "pepper"
_FORM = re.compile(r"(v[0-9]{1,9}):([0-9a-f]{64})")
_MARK = b"faregate pepper mark"


class Pepper:
    """A pepper of a version. Its repr is stars."""

    __slots__ = ("_value", "version")

    def __init__(self, version: str, value: bytes) -> None:
        self.version = version
        self._value = value

    @property
    def value(self) -> bytes:
        """The 32 bytes themselves, for core.identity.key_digest."""
        return self._value

    @property
    def mark(self) -> bytes:
        """32 bytes that tell this pepper from another and say nothing of it."""
        return hmac.digest(self._value, _MARK, "sha256")

    def digest(self, presented: bytes) -> bytes:
        """The keyed hash of a whole key text."""
        return key_digest(self._value, presented)

    def __repr__(self) -> str:
        return f"Pepper({self.version}:***)"


def load_pepper(data: Path, environment: Mapping[str, str]) -> Pepper:
    """The pepper of the environment, else of the file in `data`, which is made where it is missing.

    StoreError where it is malformed, or where others than its owner may read the file.
    """
    text = environment.get(VARIABLE)
    if text is not None:
        return _parse(text, VARIABLE)
    path = data / FILE
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(descriptor, encoding="ascii", errors="replace") as file:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                raise StoreError(f"{path} may be read by others: chmod 600 it")
            return _parse(file.read(1024), str(path))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None


def _parse(text: str, where: str) -> Pepper:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise StoreError(f"{where} holds no pepper (v1: and 64 hex digits)")
    return Pepper(found[1], bytes.fromhex(found[2]))


def _create(path: Path) -> None:
    """Make the file whole or not at all; of two processes that try, one wins and both read the same."""
    scratch = path.with_name(f".{FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"v1:{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(scratch, path)
        except FileExistsError:
            return
    finally:
        scratch.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
