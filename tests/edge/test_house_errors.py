"""The table of section 9 of the contract, kind by kind, in every house: status, type, code, members, words."""

import pytest

from faregate.core.errors import CallError, UpstreamRefused
from faregate.edge.house import load_house

from .test_house_file import KINDS

INVALID, FORBIDDEN, SERVICE = "invalid_request_error", "permission_error", "service_unavailable_error"
# Kind -> what the default house says; a kind of the same row of the contract has the same status and type
DEFAULT: dict[str, tuple[int, str, str | None]] = {
    "malformed_request": (400, INVALID, None),
    "invalid_key": (401, "authentication_error", "invalid_api_key"),
    "account_disabled": (403, FORBIDDEN, "account_disabled"),
    "project_not_allowed": (403, FORBIDDEN, "project_not_allowed"),
    "insufficient_funds": (402, "insufficient_quota", "insufficient_funds"),
    "model_not_found": (404, "not_found_error", "model_not_found"),
    "not_found": (404, "not_found_error", "not_found"),
    "model_not_available": (403, FORBIDDEN, "model_not_available"),
    "context_over_plan": (413, INVALID, "context_length_exceeded"),
    "body_too_large": (413, INVALID, "request_too_large"),
    "storage_limit_exceeded": (413, INVALID, "storage_limit_exceeded"),
    "limit_exceeded": (429, "rate_limit_error", "rate_limit_exceeded"),
    "audio_not_supported_by_model": (400, INVALID, "audio_not_supported_by_model"),
    "vision_not_supported_by_model": (400, INVALID, "vision_not_supported_by_model"),
    "region_unavailable": (400, INVALID, "region_unavailable"),
    "no_retention_unavailable": (400, INVALID, "no_retention_unavailable"),
    "schema_validation_failed": (422, "invalid_response_error", "schema_validation_failed"),
    "idempotency_conflict": (409, INVALID, "idempotency_conflict"),
    "upstream_unavailable": (503, SERVICE, "upstream_unavailable"),
    "upstream_rate_limited": (503, SERVICE, "upstream_rate_limited"),
    "overloaded": (503, SERVICE, "overloaded"),
    "request_timeout": (504, "timeout_error", "request_timeout"),
    "method_not_allowed": (405, INVALID, None),
    "read_timeout": (408, INVALID, None),
    "unsupported_media_type": (415, INVALID, None),
    "head_too_large": (431, INVALID, None),
    "store_full": (507, "internal_server_error", "storage_full"),
    "internal_error": (500, "internal_server_error", "internal_error"),
}
# What a house says otherwise: status and type; and the code where its members have one
DIFFERENT: dict[str, dict[str, tuple[int, str, str | None]]] = {
    "apilink": {
        "invalid_key": (401, INVALID, None),
        "model_not_found": (404, INVALID, None),
        "not_found": (404, INVALID, None),
        "limit_exceeded": (429, "rate_limit_exceeded", None),
        "upstream_unavailable": (503, "api_error", None),
        "upstream_rate_limited": (503, "api_error", None),
        "overloaded": (503, "api_error", None),
        "request_timeout": (503, "api_error", None),
        "store_full": (507, "api_error", None),
        "internal_error": (500, "api_error", None),
    },
    "lincorelink": {
        "model_not_found": (400, INVALID, "model_not_found"),
        "limit_exceeded": (429, "rate_limit_error", "rate_limit_error"),
        "upstream_unavailable": (503, "api_error", "api_error"),
        "upstream_rate_limited": (503, "api_error", "api_error"),
        "overloaded": (503, "api_error", "api_error"),
        "request_timeout": (504, "api_error", "api_error"),
        "store_full": (507, "api_error", "api_error"),
        "internal_error": (500, "api_error", "api_error"),
    },
    "platform": {"request_timeout": (503, SERVICE, "request_timeout")},
}
WHOLE = ["message", "type", "param", "code", "request_id"]
MEMBERS = {
    "faregate": WHOLE,
    "idclinks": WHOLE,
    "multimodal": WHOLE,
    "apilink": ["message", "type", "request_id"],
    "lincorelink": ["message", "type", "param", "code"],
    "platform": ["message", "type", "code"],
}
# What the gateway has beside the contract's rows, and which row of it has their status and type
BESIDE = {
    "address_not_allowed": "account_disabled",
    "account_blocked": "upstream_unavailable",
    "model_not_priced": "upstream_unavailable",
    "idempotency_in_progress": "idempotency_conflict",
    "idempotency_answer_gone": "idempotency_conflict",
    "unsupported_parameter": "region_unavailable",
    "unsupported_image_type": "region_unavailable",
}


def test_every_kind_is_here() -> None:
    assert {*DEFAULT, *BESIDE} == set(KINDS) and not DEFAULT.keys() & BESIDE.keys()


@pytest.mark.contract("9")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MEMBERS)
def test_each_kind_in_each_house(name: str, kind: str) -> None:
    house = load_house(name)
    status, members, lines = house.error(CallError("words", kind=kind, param="p"), "the-id")
    row = BESIDE.get(kind, kind)
    wanted = DIFFERENT.get(name, {}).get(row, DEFAULT[row])
    assert (status, members["type"]) == wanted[:2]
    assert list(members) == MEMBERS[name]
    if "code" in members and kind not in BESIDE:
        assert members["code"] == wanted[2]
    assert members.get("param", "p") == "p" and members.get("request_id", "the-id") == "the-id"
    assert (b"retry-after: 1\r\n" in lines) == (status == 429 or status >= 500)


@pytest.mark.contract("9")
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("apilink", "insufficient_funds", "Insufficient balance. Recharge at https://apilink.io/dashboard"),
        ("lincorelink", "insufficient_funds", "Insufficient balance. Top up to continue."),
        ("platform", "invalid_key", "Invalid API key provided."),
    ],
)
def test_printed_words(name: str, kind: str, words: str) -> None:
    assert load_house(name).error(CallError("of the gateway's own", kind=kind), "id")[1]["message"] == words


@pytest.mark.contract("9")
@pytest.mark.parametrize("name", MEMBERS)
def test_an_upstreams_own_refusal_stands(name: str) -> None:
    """Its status, type and code are the provider's, in the house's members."""
    refused = UpstreamRefused("no", status=418, error_type="teapot", code="short", param=None)
    status, members, _ = load_house(name).error(refused, "id")
    assert (status, members["type"], list(members)) == (418, "teapot", MEMBERS[name])
