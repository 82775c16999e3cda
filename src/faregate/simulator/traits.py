"""What the real models of a name take and refuse, as far as the simulator does as they do.

A table of its own, not the gateway's catalogue: a mistake there is to be noticed here. A name that no pattern fits
takes everything. The last pattern that fits counts, member by member.
"""

import fnmatch
import functools
from typing import Any, NamedTuple


class Traits(NamedTuple):
    """`sampling`: temperature and its like other than their defaults; `both_samplings`: temperature and top_p
    together; `budget`, `adaptive`, `level`: ways to be told to think; `prefill`: an answer begun by the caller;
    `mid_system`: system messages between others; `omits_thoughts`: thoughts are not shown unless asked for;
    `reasons`: thinks at all; `signed_calls`: refuses its own calls without their proofs; `call_ids`: its calls have
    ids; `json_with_tools`: an answer in JSON and tools in one request. Of embeddings: `width` of a vector where none is
    asked for (0: the wire's own); `resized`: other widths may be asked for; `widest`: up to this one (0: the wire's
    own); `purposes`: it has to be said what they are for; `embeds_counted`: the answer says how many tokens it was."""

    sampling: bool = True
    both_samplings: bool = True
    budget: bool = True
    adaptive: bool = True
    level: bool = True
    prefill: bool = True
    mid_system: bool = True
    omits_thoughts: bool = False
    reasons: bool = True
    signed_calls: bool = False
    call_ids: bool = True
    json_with_tools: bool = True
    width: int = 0
    resized: bool = True
    widest: int = 0
    purposes: bool = True
    embeds_counted: bool = True


# Sources: platform.claude.com "Thinking", "What's new in Claude 4.7", "4.8" and "API errors";
# ai.google.dev "Thought signatures", "Thinking", "Embeddings"; platform.openai.com "Reasoning models", "Vector
# embeddings"; docs.cohere.com "Cohere's Embed Models". That Google's newer embeddings say how many tokens they were,
# and the older ones do not: pydantic/pydantic-ai#6781, maximhq/bifrost#7295.
_TABLE: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "claude-*-[4-9]*",
        {"sampling": False, "budget": False, "prefill": False, "omits_thoughts": True, "both_samplings": False},
    ),
    ("claude-mythos-*", {"sampling": False, "budget": False, "prefill": False, "omits_thoughts": True}),
    ("claude-*-4-7*", {"mid_system": False}),
    (
        "claude-*-4-6*",
        {"sampling": True, "budget": True, "omits_thoughts": False, "mid_system": False},
    ),
    *(
        (
            pattern,
            {
                "sampling": True,
                "budget": True,
                "adaptive": False,
                "prefill": True,
                "omits_thoughts": False,
                "mid_system": False,
            },
        )
        for pattern in ("claude-*-4-5*", "claude-*-4-1*", "claude-*-4-0*", "claude-*-4-2025*", "claude-3*")
    ),
    ("gemini-[12]*", {"level": False, "call_ids": False, "json_with_tools": False}),
    ("gemini-[3-9]*", {"signed_calls": True}),
    ("gemini-*-latest", {"signed_calls": True}),
    *((pattern, {"sampling": False}) for pattern in ("gpt-[5-9]*", "o1*", "o3*", "o4*")),
    *((pattern, {"reasons": False}) for pattern in ("gpt-3*", "gpt-4*", "chatgpt-4*")),
    ("text-embedding-ada-002", {"resized": False}),
    ("text-embedding-3-small", {"widest": 1536}),
    ("text-embedding-3-large", {"width": 3072}),
    *((pattern, {"embeds_counted": False}) for pattern in ("gemini-embedding-001", "gemini-embedding-exp*")),
    *((pattern, {"embeds_counted": False, "width": 768}) for pattern in ("text-embedding-00*", "embedding-001")),
    ("embed-*-v[23]*", {"resized": False, "width": 1024}),
    ("embed-*-light-v3*", {"width": 384}),
    ("embed-*-v2*", {"purposes": False}),
)


@functools.lru_cache(maxsize=1024)
def traits_of(model: str) -> Traits:
    """The traits of a model by its name, a vendor's prefix taken off."""
    name = model.rpartition("/")[2].replace(".", "-") if model.startswith("anthropic/") else model.rpartition("/")[2]
    found: dict[str, Any] = {}
    for pattern, members in _TABLE:
        if fnmatch.fnmatchcase(name, pattern):
            found |= members
    return Traits(**found)
