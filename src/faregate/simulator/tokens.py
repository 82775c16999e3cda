"""What a token is here: a fixed rule, so that every count can be done again by a test.

A token is up to eight word characters or one other character, with at most one white-space character before
it; or else a run of white space. The tokens of a text, joined, are the text, and the first k of them are the
tokens of the text they make: a text may be cut anywhere between two.
"""

import re

IMAGE_TOKENS = 85
MESSAGE_TOKENS = 3

_TOKEN = re.compile(r"\s?\w{1,8}|\s?[^\w\s]|\s+")


def split(text: str) -> list[str]:
    """The tokens of `text`."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens `text` is."""
    return len(_TOKEN.findall(text))
