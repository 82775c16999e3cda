"""The pepper: made once, whole, private, and never shown."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faregate.core.identity import key_digest
from faregate.stores.database import StoreError
from faregate.stores.pepper import Pepper, load_pepper

TEXT = "v3:" + "ab" * 32


def test_it_is_made_once_and_read_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with ThreadPoolExecutor(8) as threads:
        marks = {pepper.mark for pepper in threads.map(lambda _: load_pepper(data, {}), range(32))}
    assert len(marks) == 1
    assert [file.name for file in data.iterdir()] == ["pepper"]
    assert stat.S_IMODE((data / "pepper").stat().st_mode) == 0o600
    assert load_pepper(tmp_path / "other", {}).mark not in marks


def test_the_environment_wins_and_writes_nothing(tmp_path: Path) -> None:
    pepper = load_pepper(tmp_path, {"FAREGATE_PEPPER": TEXT})
    assert pepper.version == "v3"
    assert pepper.digest(b"key") == key_digest(bytes.fromhex("ab" * 32), b"key")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "v1:", "secret", TEXT[:-1], TEXT + "0", TEXT.replace("v3:", "")])
def test_what_is_no_pepper_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(StoreError) as refused:
        load_pepper(tmp_path, {"FAREGATE_PEPPER": text})
    assert "abab" not in str(refused.value) and "secret" not in str(refused.value)
    (tmp_path / "pepper").write_text(text)
    (tmp_path / "pepper").chmod(0o600)
    with pytest.raises(StoreError):
        load_pepper(tmp_path, {})


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text(TEXT)
    (tmp_path / "pepper").chmod(0o640)
    with pytest.raises(StoreError, match="chmod"):
        load_pepper(tmp_path, {})


def test_it_does_not_show_itself() -> None:
    pepper = Pepper("v1", b"\xab" * 32)
    assert repr(pepper) == str(pepper) == "Pepper(v1:***)"
    assert pepper.mark != pepper.value
