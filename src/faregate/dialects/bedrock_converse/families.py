"""What the models behind Converse are told each in their own way, in `additionalModelRequestFields`, and what some of
them refuse (Bedrock user guide, "Inference request parameters", "Prompt caching", "Structured output"; the API
reference of ToolResultBlock; the Nova user guides). A model that no row knows is told what Converse itself can say.
"""

import re
from typing import Literal, NamedTuple

from ...core.catalog import Capabilities


class Family(NamedTuple):
    """Models of one maker. `thinks`: how they are told to think, where they can be; `top_k`: the path of its member;
    `caches`: they take cache marks, `caches_longer` those for an hour too, `caches_tools` those after tools as well;
    `states_errors`: they take the status of a tool's result; `keeps_schemas`: they keep to a JSON Schema where nobody
    has said whether they do; `one_sampling`: they take `temperature` or `top_p`; `one_call`: they can be told to call
    one tool at a time; `signs`: their thoughts have proofs."""

    thinks: Literal["claude", "nova", "effort", ""] = ""
    top_k: tuple[str, ...] = ()
    caches: bool = False
    caches_longer: bool = False
    caches_tools: bool = False
    states_errors: bool = False
    keeps_schemas: bool = True
    one_sampling: bool = False
    one_call: bool = False
    signs: bool = False


_CLAUDE = Family(
    thinks="claude",
    top_k=("top_k",),
    caches=True,
    caches_longer=True,
    caches_tools=True,
    states_errors=True,
    one_sampling=True,
    one_call=True,
    signs=True,
)
_NOVA = Family(top_k=("inferenceConfig", "topK"), caches=True, states_errors=True, keeps_schemas=False)
# The first row that fits, in the name of a model, of its inference profile, or of the ARN of either.
_ROWS: tuple[tuple[re.Pattern[str], Family], ...] = (
    (
        re.compile(r"anthropic\.claude-(?:3|v2|instant)|claude-(?:opus|sonnet)-4-(?:1|20)"),
        _CLAUDE._replace(one_sampling=False, one_call=False, caches_longer=False, keeps_schemas=False),
    ),
    (re.compile(r"anthropic\.|claude"), _CLAUDE),
    (re.compile(r"amazon\.nova-2"), _NOVA._replace(thinks="nova")),
    (re.compile(r"amazon\.nova"), _NOVA),
    (re.compile(r"openai\.gpt-oss"), Family(thinks="effort")),
    (re.compile(r"mistral\."), Family(top_k=("top_k",))),
    (re.compile(r"cohere\."), Family(top_k=("k",), keeps_schemas=False)),
    (re.compile(r"meta\.|ai21\.|amazon\.titan|writer\."), Family(keeps_schemas=False)),
)
_OTHER = Family()


def family_of(model: str, capabilities: Capabilities) -> Family:
    """The family of a model. The ARN of a profile of one's own names none: what thinks by a budget, or as it sees fit,
    is Claude."""
    found = next((family for pattern, family in _ROWS if pattern.search(model)), None)
    if found is not None:
        return found
    return _CLAUDE if capabilities.thinking in ("budget", "adaptive") else _OTHER
