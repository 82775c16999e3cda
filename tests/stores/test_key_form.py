"""The form of a key (security.md S1): what is made is what is recognised, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from faregate.core.identity import BASE62, KEY_CHARACTERS, key_id_of, make_id, make_key


@given(prefix=st.text(BASE62 + "_-", min_size=1, max_size=16))
def test_a_key_has_its_form(prefix: str) -> None:
    """Every key has the published length and alphabet, gives its id back, and no other key does."""
    key_id = make_id()
    key = make_key(prefix, key_id)
    assert len(key) == len(prefix) + KEY_CHARACTERS
    assert key.startswith(f"{prefix}{key_id}-")
    assert key_id_of(key.encode(), prefix.encode()) == key_id
    assert make_key(prefix, key_id) != key


@given(position=st.integers(0, KEY_CHARACTERS - 1), wrong=st.integers(0, 255))
def test_a_mistyped_key_is_dropped_without_a_look_up(position: int, wrong: int) -> None:
    """One wrong byte anywhere behind the prefix is noticed by the checksum."""
    key = bytearray(make_key("sk-fg-", make_id()).encode())
    place = len("sk-fg-") + position
    if key[place] != wrong:
        key[place] = wrong
        assert key_id_of(bytes(key), b"sk-fg-") is None


@given(junk=st.binary(max_size=100))
def test_junk_is_no_key(junk: bytes) -> None:
    """Bytes of any kind give None, never an exception."""
    assert key_id_of(junk, b"sk-fg-") is None
    assert key_id_of(b"sk-fg-" + junk, b"sk-fg-") is None
