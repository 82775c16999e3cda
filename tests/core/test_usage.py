"""Usage objects as disjoint counters: the typed way and the careful way say the same, and nothing counts twice."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faregate.core.usage import Usage, UsageSource
from faregate.dialects.openai_chat.usage import read_usage, usage_of

ODD = st.one_of(st.none(), st.integers(-5, 2**40), st.floats(allow_nan=False, allow_infinity=False), st.just("12"))


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": ODD, "completion_tokens": ODD},
        optional={
            "prompt_tokens_details": st.one_of(
                st.none(),
                st.just([]),
                st.fixed_dictionaries({}, optional={"cached_tokens": ODD, "cache_write_tokens": ODD}),
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
    assert min(careful.input, careful.cache_read, careful.cache_write, careful.output, careful.reasoning) >= 0


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
