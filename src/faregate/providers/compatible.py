"""OpenAI-compatible hosts: rows. Addresses and variables are the providers' own documented ones, and so are quirks."""

from ..core.money import Price, PriceEntry, Rates
from . import Row
from .shape import Shape

# One's own machine costs nothing by the token.
_FREE = Price(version="provider:local", entries=(PriceEntry(rates=Rates(input=0, output=0)),))

# api-docs.deepseek.com, Create Chat Completion: its roles, `max_tokens`, `response_format`; Thinking Mode.
_DEEPSEEK = Shape(
    renamed={"max_completion_tokens": "max_tokens"},
    roles={"developer": "system"},
    knows_schemas=False,
    switches_thinking=True,
)
# docs.mistral.ai, API, Chat Completion: members that are not in it are refused ("Extra inputs are not permitted"), ids
# of calls have nine letters and digits, and what was thought is a chunk of the content, which is to come back. A stream
# always ends with its usage.
_MISTRAL = Shape(
    renamed={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
    refused=frozenset(
        {
            *("audio", "function_call", "functions", "logit_bias", "modalities", "prompt_cache_retention"),
            *("safety_identifier", "service_tier", "store", "user", "verbosity", "web_search_options"),
        }
    ),
    unneeded=frozenset({"stream_options"}),
    roles={"developer": "system"},
    message_members=frozenset({"role", "content", "tool_calls", "tool_call_id", "prefix"}),
    call_id_characters=9,
    thinks_in_content=True,
    marks_prefix=True,
    names_parameters=True,
)

ROWS = (
    Row(
        name="deepseek",
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        shape=_DEEPSEEK,
    ),
    Row(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        stream_usage=False,
        shape=_MISTRAL,
    ),
    Row(name="groq", base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
    Row(name="together", base_url="https://api.together.xyz/v1", key_variable="TOGETHER_API_KEY"),
    Row(name="xai", base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
    Row(name="openrouter", base_url="https://openrouter.ai/api/v1", key_variable="OPENROUTER_API_KEY"),
    Row(name="fireworks", base_url="https://api.fireworks.ai/inference/v1", key_variable="FIREWORKS_API_KEY"),
    Row(
        name="dashscope",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_variable="DASHSCOPE_API_KEY",
    ),
    Row(name="moonshot", base_url="https://api.moonshot.ai/v1", key_variable="MOONSHOT_API_KEY"),
    Row(
        name="ollama",
        base_url="http://127.0.0.1:11434/v1",
        url_variable="OLLAMA_HOST",
        discovers=True,
        price=_FREE,
    ),
)
