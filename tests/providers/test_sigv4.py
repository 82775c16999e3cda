"""Signatures: AWS's own vectors, and botocore's signer on requests like ours."""

import hashlib
from datetime import UTC, datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.chat import ChatRequest
from faregate.core.secret import Secret
from faregate.dialects.table import UPSTREAMS
from faregate.providers.sigv4 import Credentials, Signer

ACCESS_KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
    "x7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
    "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
_UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The suite's name, method, path, session token, signature ("Signature Version 4 test suite" of AWS).
VECTORS = [
    ("get-vanilla", "GET", "/", None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("post-vanilla", "POST", "/", None, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("get-utf8", "GET", "/ሴ", None, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/?Param2=value2&Param1=value1",
        None,
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-unreserved",
        "GET",
        f"/?{_UNRESERVED}={_UNRESERVED}",
        None,
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    ("post-sts-header-before", "POST", "/", TOKEN, "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
]


def signer(host: str, service: str, region: str, token: str | None = None) -> Signer:
    credentials = Credentials(ACCESS_KEY_ID, Secret(SECRET), None if token is None else Secret(token))
    return Signer(credentials, host, service, region, lambda: AT)


def fields(lines: bytes) -> dict[str, str]:
    """Header lines as names and values."""
    pairs = (line.split(": ", 1) for line in lines.decode().split("\r\n") if line)
    return dict(pairs)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("name", "method", "path", "token", "signature"), VECTORS, ids=[row[0] for row in VECTORS])
def test_vector(name: str, method: str, path: str, token: str | None, signature: str) -> None:
    found = fields(signer("example.amazonaws.com", "service", "us-east-1", token)(path, b"", method))
    names = "host;x-amz-date" + ("" if token is None else ";x-amz-security-token")
    assert found["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20150830/us-east-1/service/aws4_request, SignedHeaders={names},"
        f" Signature={signature}"
    )
    assert found["x-amz-date"] == "20150830T123600Z"
    assert found.get("x-amz-security-token") == token


class OurTime(botocore.auth.SigV4Auth):
    """botocore's signer, at the time of ours."""

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        super()._modify_request_before_signing(request)
        del request.headers["X-Amz-Date"]
        request.headers["X-Amz-Date"] = "20150830T123600Z"

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = "20150830T123600Z"
        self._modify_request_before_signing(request)
        canonical = self.canonical_request(request)
        to_sign = self.string_to_sign(request, canonical)
        self._inject_signature_to_request(request, self.signature(to_sign, request))


MODELS = [
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-4-8",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-8",
    "a model with spaces, ünïcode & 100% ~odd_-.",
]


@settings(deadline=None)
@given(
    st.sampled_from(MODELS) | st.text(min_size=1, max_size=40).filter(lambda name: name.strip(".")),
    st.binary(max_size=50),
    st.booleans(),
)
def test_botocore_signs_the_same(model: str, body: bytes, is_temporary: bool) -> None:
    """Of any name but dots alone, which are no name in a path, but a way to another one."""
    try:
        model.encode()
    except UnicodeEncodeError:
        return
    path = UPSTREAMS["bedrock_converse"].path(ChatRequest(model="m", members={}), model)
    host, token = "bedrock-runtime.us-east-1.amazonaws.com", TOKEN if is_temporary else None
    found = fields(signer(host, "bedrock", "us-east-1", token)(path, body))
    request = AWSRequest("POST", f"https://{host}{path}", data=body)
    OurTime(BotoCredentials(ACCESS_KEY_ID, SECRET, token), "bedrock", "us-east-1").add_auth(request)
    assert found["authorization"] == request.headers["Authorization"]


def test_the_key_is_that_of_the_day() -> None:
    """A signature of the next day is another one, by the same signer."""
    days = iter((AT, AT.replace(day=31)))
    each = Signer(Credentials(ACCESS_KEY_ID, Secret(SECRET)), "h", "bedrock", "us-east-1", lambda: next(days))
    first, second = fields(each("/", b"")), fields(each("/", b""))
    assert first["authorization"].split("/")[1] == "20150830"
    assert second["authorization"].split("/")[1] == "20150831"
    signatures = {found["authorization"].rpartition("=")[2] for found in (first, second)}
    assert len(signatures) == 2
    assert all(len(signature) == len(hashlib.sha256().hexdigest()) for signature in signatures)
