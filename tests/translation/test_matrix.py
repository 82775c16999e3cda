"""Every client before every provider: see matrix.py."""

from pathlib import Path

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import DIALECTS, UPSTREAMS, Case
from .judging import wrongs_of
from .matrix import WANTS, matrix_cases

CASES = matrix_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, crossing: Gateway, player: Upstream) -> None:
    wrongs = wrongs_of(case, crossing, player)
    assert not wrongs, "\n".join(wrongs)


# What is wanted of every client before every provider, by the wants that have it.
CONDITIONS = {
    "plain": ("plain",),
    "stream": ("stream",),
    "tools": ("tools",),
    "parallel tools": ("parallel_tools", "stream_parallel_tools"),
    "vision": ("vision",),
    "thinking": ("thinking", "stream_thinking"),
    "schema": ("schema",),
    "error": ("error_400", "error_500", "stream_error"),
    "cut": ("stream_cut",),
}
# Whoever has no word for a want at all: clients, and providers.
_WORDS_ALONE = {"anthropic", "bedrock", "cohere"}
LACKING: dict[str, tuple[set[str], set[str]]] = {
    "answer_picture": (set(), _WORDS_ALONE),
    "stream_picture": (set(), _WORDS_ALONE),
    "answer_sound": (set(), {*_WORDS_ALONE, "openai-responses"}),
    "stream_sound": (set(), {*_WORDS_ALONE, "openai-responses"}),
    "document": (set(), {"cohere"}),
    "finish_filter": (set(), {"cohere"}),
    "stream_finish_filter": (set(), {"cohere"}),
    "finish_length_in_call": ({"openai-responses"}, {"openai-responses", "gemini"}),
    "stop_sequences": ({"openai-responses"}, {"openai-responses"}),
    "tool_required": ({"gemini"}, set()),
}


@pytest.mark.parametrize("path", WANTS, ids=lambda path: path.stem)
def test_every_pair_has_every_want(path: Path) -> None:
    """No pair is left out by mistake; those of one dialect are there by both wires."""
    clients, upstreams = LACKING.get(path.stem, (set(), set()))
    pairs = {(client, upstream) for client in DIALECTS.keys() - clients for upstream in UPSTREAMS.keys() - upstreams}
    expected = {f"{path.stem}-{client}-to-{upstream}" for client, upstream in pairs}
    expected |= {f"{path.stem}-{client}-to-{client}-exact" for client, upstream in pairs if client == upstream}
    found = [case.name for case in matrix_cases() if case.said["name"].startswith(f"{path.stem}-")]
    assert sorted(found) == sorted(expected)


def test_every_condition_is_there_for_every_pair() -> None:
    names = {path.stem for path in WANTS}
    for condition, wants in CONDITIONS.items():
        assert set(wants) <= names - LACKING.keys(), condition
