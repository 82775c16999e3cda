"""Cohere: its chat, version 2. Its own SDKs read CO_API_KEY, much else COHERE_API_KEY."""

from . import COHERE, Row

ROW = Row(
    name="cohere",
    base_url="https://api.cohere.com/v2",
    key_variable="CO_API_KEY",
    key_alias="COHERE_API_KEY",
    dialects=COHERE,
    exact=True,
)
