"""OpenAI-compatible hosts without quirks: rows. Addresses and variables are the providers' own documented ones."""

from ..core.money import Price, PriceEntry, Rates
from . import Row

# One's own machine costs nothing by the token.
_FREE = Price(version="provider:local", entries=(PriceEntry(rates=Rates(input=0, output=0)),))

ROWS = (
    Row(name="deepseek", base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"),
    Row(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        stream_usage=False,
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
