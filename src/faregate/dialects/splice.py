"""Members of a JSON object changed in its bytes, the rest untouched."""

import re

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


def _member_span(data: bytes, name: bytes) -> tuple[int, int, int] | None:
    """Where the top-level member `name` of a JSON object stands: start of its name, start and end of its value."""
    depth = 0
    quoted = b'"%b"' % name
    found: tuple[int, int] | None = None
    expecting_name = False
    for token in _TOKEN.finditer(data):
        text = token.group()
        mark = text[:1]
        if mark == b'"':
            if depth == 1 and expecting_name:
                expecting_name = False
                if text == quoted and found is None:
                    found = (token.start(), data.index(b":", token.end()) + 1)
        elif mark in b"{[":
            depth += 1
            expecting_name = depth == 1
        elif mark in b"}],":
            if depth == 1:
                if found is not None:
                    return (*found, token.start())
                expecting_name = True
            if mark != b",":
                depth -= 1
    return None


def member_bytes(data: bytes, name: bytes) -> bytes:
    """A JSON object's top-level member `name` as it is written, name and value; empty where it has none."""
    span = _member_span(data, name)
    return b"" if span is None else data[span[0] : span[2]].rstrip()


def member_value(data: bytes, name: bytes) -> bytes:
    """The value of a JSON object's top-level member `name` as it is written; `null` where it has none."""
    span = _member_span(data, name)
    return b"null" if span is None else data[span[1] : span[2]].strip()


def cut_member(data: bytes, name: bytes) -> bytes:
    """A JSON object's bytes without its top-level member `name`, the rest untouched."""
    span = _member_span(data, name)
    if span is None:
        return data
    start, _, end = span
    before = data[:start].rstrip()
    if before.endswith(b","):
        return before[:-1] + data[end:]
    after = data[end:]
    return data[:start] + (after[1:].lstrip() if after.startswith(b",") else after)


def replace_member(data: bytes, name: bytes, value: bytes) -> bytes:
    """A JSON object's bytes with the value of its top-level member `name` replaced."""
    span = _member_span(data, name)
    if span is None:
        return data
    _, start, end = span
    return data[:start] + value + data[end:]
