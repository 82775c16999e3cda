"""A plan that the gateway does not know: its organisations are refused until it does, by a running gateway too."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.running.client import Caller, eventually
from tests.running.processes import CLEAN, Gateway

from .conftest import command_json


def test_a_plan_of_other_settings_is_refused_until_it_is_known(
    gateway: Gateway, tenant: Callable[..., Caller], tmp_path: Path
) -> None:
    caller = tenant(apart=True)
    organisation = next(each["id"] for each in reversed(command_json(gateway, "orgs", "list")))
    assert caller.chat().status == 200
    elsewhere = tmp_path / "faregate.toml"
    elsewhere.write_text("[plans.elsewhere]\ncontext_tokens_max = 100000\n")
    words = ["orgs", "plan", organisation, "elsewhere", "--config", str(elsewhere), "--data", str(gateway.data)]
    subprocess.run([sys.executable, "-m", "faregate", *words], env=CLEAN, check=True, capture_output=True, timeout=30)
    eventually(lambda: caller.chat().status == 403)
    answer = caller.chat()
    assert (answer.error["type"], answer.error["code"]) == ("permission_error", "account_disabled")
    told = [line for line in gateway.log_lines() if line.get("event") == "plan_unknown"]
    assert (told[-1]["plan"], told[-1]["organisation"]) == ("elsewhere", organisation)
    assert "refused" in gateway.command("orgs", "limits", organisation).stderr
    assert tenant().chat().status == 200  # others are not concerned
    command_json(gateway, "plans", "create", "elsewhere", "--context-tokens", "100000")
    eventually(lambda: caller.chat().status == 200)
    assert command_json(gateway, "orgs", "limits", organisation)["context_tokens_max"] == 100_000
