"""What the tests of the lincorelink document share."""

import json
from typing import Any

import openai

from tests.money.books import Customer
from tests.running.client import Caller
from tests.running.processes import Simulator

from ..front import Front

DOCUMENT = "lincorelink.txt"
FLASH, PRO = "deepseek-v4-flash", "deepseek-v4-pro"
CAPS = {"basic": (131_072, 32_768), "pro": (262_144, 32_768), "max": (1_048_576, 65_536)}
BASE_URL = "https://api.lincorelink.ai/v1"


def sdk_of(caller: Caller) -> openai.OpenAI:
    """The client as the document sets it up; to be closed."""
    return openai.OpenAI(base_url=caller.gateway.base_url, api_key=caller.key, max_retries=0)


def sent(simulator: Simulator) -> dict[str, Any]:
    """The last body that the provider was sent."""
    return simulator.get("/simulator/last_request")["body"]


def limits_of(front: Front, customer: Customer) -> dict[str, Any]:
    """What holds for a customer, as its operator is shown."""
    return json.loads(front.gateway.command("keys", "limits", customer.key_id, "--json").stdout)


def id_of(answer: Any) -> str:
    """The id that the provider gave an answer, whole or streamed."""
    return answer.json()["id"] if answer.body.startswith(b"{") else answer.events[0]["id"]
