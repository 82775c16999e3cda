"""OpenAI itself: the wire that `exact` means."""

from . import OPENAI, Row

ROW = Row(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_variable="OPENAI_API_KEY",
    exact=True,
    dialects=(*OPENAI, "openai_responses"),
)
