"""Google's AI Studio: the Gemini API."""

from . import GEMINI, Row

ROW = Row(
    name="google",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    key_variable="GEMINI_API_KEY",
    dialects=GEMINI,
    credential_field="x-goog-api-key",
    exact=True,
)
