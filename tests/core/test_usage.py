"""Usage objects as disjoint counters: the typed way and the careful way say the same, and nothing counts twice."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faregate.core.usage import COUNTERS, Usage, UsageSource
from faregate.dialects.openai_chat.usage import read_usage, usage_of

ODD = st.one_of(st.none(), st.integers(-5, 2**40), st.floats(allow_nan=False, allow_infinity=False), st.just("12"))


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": ODD, "completion_tokens": ODD},
        optional={
            "prompt_tokens_details": st.one_of(
                st.none(),
                st.just([]),
                st.fixed_dictionaries(
                    {},
                    optional={
                        "cached_tokens": ODD,
                        "cache_write_tokens": ODD,
                        "audio_tokens": ODD,
                        "cache_creation_tokens": ODD,
                        "cache_creation_token_details": st.none()
                        | st.fixed_dictionaries({}, optional={"ephemeral_1h_input_tokens": ODD}),
                    },
                ),
            ),
            "completion_tokens_details": st.one_of(
                st.none(), st.fixed_dictionaries({}, optional={"reasoning_tokens": ODD, "audio_tokens": ODD})
            ),
            "prompt_cache_hit_tokens": ODD,
            "total_tokens": ODD,
        },
    )
)
@example({"prompt_tokens": 0, "completion_tokens": 0, "prompt_cache_hit_tokens": None})
def test_both_ways_agree(raw: dict[str, object]) -> None:
    encoded = msgspec.Raw(msgspec.json.encode(raw))
    careful = usage_of(msgspec.json.decode(encoded))
    assert read_usage(encoded) == careful
    assert careful is not None
    assert min(getattr(careful, name) for name in COUNTERS) >= 0


def test_classes_are_disjoint() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    usage = usage_of(raw)
    assert usage == Usage(input=30, cache_read=60, cache_write=10, output=30, reasoning=20, source=UsageSource.PROVIDER)
    assert (usage.prompt, usage.completion) == (100, 50)


def test_what_was_written_for_an_hour_is_told_apart() -> None:
    details = {"cache_creation_tokens": 30, "cache_creation_token_details": {"ephemeral_1h_input_tokens": 20}}
    usage = usage_of({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": details})
    assert usage == Usage(input=70, cache_write=10, cache_write_1h=20, output=5, source=UsageSource.PROVIDER)


PART = st.none() | st.integers(0, 300)


@given(st.integers(0, 200), st.integers(0, 200), PART, PART, PART, PART, PART)
def test_the_classes_add_up_to_the_wholes(
    prompt: int,
    completion: int,
    cached: int | None,
    written: int | None,
    heard: int | None,
    thought: int | None,
    spoken: int | None,
) -> None:
    """Whatever the parts claim: no token is in two classes, and none is lost."""
    usage = usage_of(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "cache_write_tokens": written,
                "audio_tokens": heard,
            },
            "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": spoken},
        }
    )
    assert usage is not None
    assert (usage.prompt, usage.completion) == (prompt, completion)
    assert min(getattr(usage, name) for name in COUNTERS) >= 0
    assert usage.audio_input <= (heard or 0) and usage.audio_output <= (spoken or 0)
    if (heard or 0) > prompt or (spoken or 0) > completion:
        assert usage.suspect


def test_sound_is_a_class_of_its_own() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 10, "audio_tokens": 25},
    }
    usage = usage_of(raw)
    assert usage == Usage(
        input=50,
        cache_read=20,
        audio_input=30,
        output=15,
        reasoning=10,
        audio_output=25,
        source=UsageSource.PROVIDER,
    )
    overlapping = usage_of({**raw, "prompt_tokens_details": {"cached_tokens": 90, "audio_tokens": 30}})
    assert overlapping is not None
    assert (overlapping.input, overlapping.cache_read, overlapping.audio_input) == (0, 90, 10)
    assert not overlapping.suspect


@pytest.mark.parametrize(
    ("raw", "suspect"),
    [
        ({"prompt_tokens": -1, "completion_tokens": 5}, True),
        ({"prompt_tokens": "12", "completion_tokens": 5}, True),
        ({"prompt_tokens": 10**18, "completion_tokens": 5}, True),
        ({"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, True),
        ({"prompt_tokens": 5, "completion_tokens": 5, "prompt_cache_hit_tokens": 5}, False),
    ],
)
def test_what_cannot_be_true_is_suspect(raw: dict[str, object], suspect: bool) -> None:
    usage = usage_of(raw)
    assert usage is not None
    assert usage.suspect is suspect
    assert usage.cache_read <= 5


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_what_is_no_usage_is_none(raw: object) -> None:
    assert usage_of(raw) is None
