"""Certificates made on the spot with the openssl command: an authority, and what it signed."""

import shutil
import subprocess
from pathlib import Path

import pytest


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    """A private authority in `folder`. Skips the test where there is no openssl command."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("the openssl command, which makes the certificates, is not installed")
        self.folder = folder
        self.certificate = folder / "authority.pem"
        self.key = folder / "authority.key"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", "/CN=Test authority", "-keyout", str(self.key), "-out", str(self.certificate)),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
        )

    def sign(self, name: str, alternatives: str, *, expired: bool = False) -> tuple[Path, Path]:
        """Certificate and key for `alternatives` (subjectAltName's form)."""
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n")
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(key), "-out", str(request)),
        )
        dates = ("-not_before", "20200101000000Z", "-not_after", "20200102000000Z") if expired else ("-days", "2")
        try:
            openssl(
                *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key)),
                *("-CAcreateserial", "-extfile", str(extensions), "-out", str(certificate), *dates),
            )
        except subprocess.CalledProcessError:
            if not expired:
                raise
            # Before version 3.4 there are no such options; a negative number of days ends before it begins.
            openssl(
                *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key)),
                *("-CAcreateserial", "-extfile", str(extensions), "-out", str(certificate), "-days", "-1"),
            )
        return certificate, key
