"""Which calls are judged, and which of their streams are held."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from faregate.core.call import Call, UsageRecord
from faregate.core.catalog import Candidate, Capabilities
from faregate.dialects import Asked
from faregate.dialects.table import DIALECTS
from faregate.flow import structured

SCHEMA = {"type": "object"}
SAID = [{"role": "user", "content": "hi"}]
GEMINI = {"contents": [{"parts": [{"text": "hi"}]}]}
WANTED: list[tuple[str, dict[str, Any]]] = [
    (
        "openai_chat",
        {"messages": SAID, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    ),
    (
        "openai_responses",
        {"input": "hi", "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
    ),
    (
        "anthropic_messages",
        {
            "max_tokens": 9,
            "messages": SAID,
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    ),
    (
        "anthropic_messages",
        {"max_tokens": 9, "messages": SAID, "output_format": {"type": "json_schema", "schema": SCHEMA}},
    ),
    (
        "gemini_generate",
        {**GEMINI, "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
    ),
    (
        "gemini_generate",
        {**GEMINI, "generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}},
    ),
    (
        "gemini_generate",
        {
            **GEMINI,
            "generation_config": {"response_mime_type": "application/json", "response_schema": {"type": "OBJECT"}},
        },
    ),
]


def prepared(dialect: str, body: dict[str, Any], operation: str = "chat", *, keeps: bool | None = None) -> Call:
    raw = json.dumps({"model": "m", **body} if dialect != "gemini_generate" else body).encode()
    call = Call(
        id="id",
        caller=None,  # type: ignore[arg-type]
        operation=operation,
        dialect=dialect,
        request=DIALECTS[dialect].parse_request(raw, Asked("m:generateContent")),
        deadline_at=0.0,
        record=UsageRecord(id="id", received_at=0.0),
        snapshot=None,  # type: ignore[arg-type]
        is_held=True,
    )
    gate: Any = SimpleNamespace(dialects=DIALECTS)
    model: Any = SimpleNamespace(capabilities=Capabilities(structured_outputs=keeps))
    structured.prepare(gate, call, (Candidate(model, ()),))
    return call


@pytest.mark.parametrize(("dialect", "body"), WANTED)
def test_a_schema_is_found_in_each_form(dialect: str, body: dict[str, Any]) -> None:
    for keeps in (None, False):
        call = prepared(dialect, body, keeps=keeps)
        assert call.schema is not None
        assert call.is_held
        assert call.schema.fault_of("{}") == ""
        assert "is not of type" in call.schema.fault_of("3")


@pytest.mark.parametrize(
    ("dialect", "body", "operation", "keeps"),
    [
        ("openai_chat", {"messages": SAID}, "chat", None),
        ("openai_chat", {"messages": SAID, "response_format": {"type": "json_object"}}, "chat", None),
        ("openai_chat", {"messages": SAID, "response_format": None}, "chat", None),
        (*WANTED[0], "completions", None),
        (*WANTED[0], "chat", True),
    ],
)
def test_nothing_is_judged_and_nothing_held(
    dialect: str, body: dict[str, Any], operation: str, keeps: bool | None
) -> None:
    call = prepared(dialect, body, operation, keeps=keeps)
    assert call.schema is None
    assert not call.is_held
