"""What the tests of the platform document share."""

import json
from typing import Any

import openai
from google import genai
from google.genai import types

from tests.money.books import Customer
from tests.running.client import CHAT, Answer, Caller

from ..front import Front, curl, printed_commands, printed_json

DOCUMENT = "platform.txt"
SITE = "https://your-domain.com"
CHATS = f"/api{CHAT}"
GENERATE = "/api/v1beta/models/gemini-2.5-pro:generateContent"
COMMAND_OF = dict(zip(("quick", "auth", "chat", "image", "models", "gemini"), printed_commands(DOCUMENT), strict=True))
PRINTED = dict(zip(("chat", "image", "models", "gemini", "error"), printed_json(DOCUMENT), strict=True))
PER_MINUTE = {"free": 10, "standard": 60, "pro": 300}
LIMIT, REMAINING, RESET = (f"X-RateLimit-{each}-Requests" for each in ("Limit", "Remaining", "Reset"))


def run(front: Front, name: str, key: str) -> Answer:
    """A printed command, run."""
    return curl(COMMAND_OF[name].replace(SITE, front.origin).replace("YOUR_API_KEY", key))


def chat(caller: Caller, plan: dict[str, Any] | None = None, **members: Any) -> Answer:
    return caller.ask("POST", CHATS, caller.body(plan, **members))


def sdk_of(front: Front, key: str) -> openai.OpenAI:
    """The client as the document sets it up; to be closed."""
    return openai.OpenAI(api_key=key, base_url=f"{front.origin}/api/v1", max_retries=0)


def gemini_of(front: Front, key: str) -> genai.Client:
    """Google's client, with the one address changed."""
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=f"{front.origin}/api"))


def project_of(front: Front, customer: Customer) -> str:
    [[project]] = customer.books.rows("SELECT id FROM project WHERE organisation_id = ?", customer.organisation)
    return project


def standing(answer: Answer) -> tuple[int, int, int]:
    """Limit, remaining and reset as an answer says them; the names are written as the document has them."""
    return tuple(int(answer.header(name.lower()) or "") for name in (LIMIT, REMAINING, RESET))  # type: ignore[return-value]


def limits_of(front: Front, customer: Customer) -> dict[str, Any]:
    """What holds for a customer, as its operator is shown."""
    return json.loads(front.gateway.command("keys", "limits", customer.key_id, "--json").stdout)
