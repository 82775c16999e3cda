"""Anthropic: the Messages API."""

from . import Row

ROW = Row(
    name="anthropic",
    base_url="https://api.anthropic.com/v1",
    key_variable="ANTHROPIC_API_KEY",
    dialects=("anthropic_messages",),
    credential_field="x-api-key",
    exact=True,
)
