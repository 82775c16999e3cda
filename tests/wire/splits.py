"""Random cuts of bytes, and random damage to them, for Hypothesis."""

import itertools

from hypothesis import strategies as st

NASTY = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\x00",
    b":",
    b",",
    b";",
    b"0",
    b"1",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"a",
    b"=",
]


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces: whole, byte by byte, or cut at a few places."""
    way = draw(st.integers(0, 3))
    if way == 0 or not data:
        return [data]
    if way == 1:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with up to three bytes replaced, inserted, removed, or a stretch of it repeated."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        way = draw(st.integers(0, 3))
        nasty = draw(st.sampled_from(NASTY))
        if way == 0:
            data = data[:at] + nasty + data[at:]
        elif way == 1:
            data = data[:at] + nasty + data[at + 1 :]
        elif way == 2:
            data = data[:at] + data[at + draw(st.integers(1, 4)) :]
        else:
            data = data[:at] + data[max(0, at - draw(st.integers(1, 12))) : at] + data[at:]
    return data
