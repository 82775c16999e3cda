"""I12 on every wire: whatever dialect the client speaks and whatever the provider does, streamed or not, all charges
are the provider's own tokens times the prices. The arithmetic here shares nothing with the gateway's."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.edge.conftest import command_json
from tests.running.client import CHAT, Answer, Connection, last_entry
from tests.running.processes import Gateway, Simulator

from .books import Customer, customer_of, nano
from .load import each_in_a_thread


class Wire(NamedTuple):
    """A wire of the simulator: its settings, and which classes its usage does not tell apart from the larger one."""

    path: str
    settings: str
    untold: frozenset[str] = frozenset()


def _by_dialect(dialect: str, path: str, *untold: str) -> dict[str, Wire]:
    return {
        f"{dialect}-{wire}": Wire(path, f'dialect = "{dialect}"\nwire = "{wire}"', frozenset(untold))
        for wire in ("exact", "compatible")
    }


WIRES = {
    **_by_dialect("openai_chat", "/v1", "hour"),
    **_by_dialect("openai_responses", "/v1", "hour"),
    **_by_dialect("anthropic_messages", "/v1"),
    **_by_dialect("gemini_generate", "/v1beta", "hour", "written"),
    "cohere": Wire("/v2", 'dialect = "cohere_chat"', frozenset({"hour", "written", "reasoning"})),
    "mistral": Wire("/mistral/v1", 'dialect = "openai_chat"', frozenset({"hour"})),
    "azure": Wire("", 'kind = "azure"\napi_version = "v1"', frozenset({"hour"})),
    "anthropic.claude-opus-4-5": Wire("", 'kind = "bedrock"\nregion = "eu-west-1"', frozenset({"reasoning"})),
}
# Pico-dollars a token, for prompts up to so many tokens and above them
SIZE = 60
PICO = (
    {
        "fresh": 1_000_003,
        "cached": 100_019,
        "written": 1_250_021,
        "hour": 2_000_081,
        "said": 2_000_029,
        "thought": 3_000_017,
    },
    {
        "fresh": 2_000_011,
        "cached": 200_023,
        "written": 2_500_009,
        "hour": 4_000_037,
        "said": 4_000_063,
        "thought": 6_000_011,
    },
)
NAMES = {
    "fresh": "input",
    "cached": "cache_read",
    "written": "cache_write_5m",
    "hour": "cache_write_1h",
    "said": "output",
    "thought": "reasoning",
}
PATHS = ("chat", "messages", "responses", "gemini")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ROUNDS = 4
TROUBLES: list[dict[str, Any]] = [
    {"malformed": "html"},
    {"malformed": "empty"},
    {"status": 500},
    {"cut_after_bytes": 1500, "output_tokens": 200},
    {"usage": "absent", "output_tokens": 20},
    {"usage": "absurd", "output_tokens": 20},
    {"usage": "negative", "output_tokens": 20},
]
COUNTED_MAX = 2_000 * PICO[1]["hour"] // 1000  # a prompt that the gateway counts
PROMOTION_NANO = 50_000_000
PROMISED = "SELECT sum(debits) FROM account WHERE kind = 'promo'"
BUDGETED = "SELECT coalesce(sum(debits), 0) FROM account WHERE kind = 'budget'"


def price(model: str) -> str:
    """At all times of the day, in two sizes; what holds without a time is so dear that it would show."""
    text = f'[models."{model}"]\nprice = {{ input = "999", output = "999" }}\nmax_output_tokens = 4000\n'
    for size, rates in zip((0, SIZE), PICO, strict=True):
        text += f'[[models."{model}".prices]]\nminutes = "00:00-24:00"\nprompt_tokens_over = {size}\n'
        text += "".join(f'{NAMES[name]} = "{pico // 10**6}.{pico % 10**6:06}"\n' for name, pico in rates.items())
    return text


def config(simulator: Simulator) -> str:
    tables = ['[ledger]\ndemo_credit = "1"\n']
    for name, wire in WIRES.items():
        slug = name.replace(".", "-")
        models = [name, f"{name}+hour", f"{name}+trouble"]
        tables.append(
            f'[providers."{slug}"]\nkey = "secret-key"\nbase_url = "http://127.0.0.1:{simulator.port}{wire.path}"\n'
            + wire.settings
        )
        for model in models:
            tables.append(price(model))
            tables.append(f'[[routes]]\nmodel = "{model}"\nprovider = "{slug}"\nupstream_model = "{model}"')
    return "\n".join(tables)


def cost_of_truth(entry: dict[str, Any]) -> int:
    """What a request costs by the simulator's own truth, as far as its wire tells the classes apart."""
    name, _, more = entry["model"].partition("+")
    untold = WIRES[name].untold
    written = 0 if "written" in untold else entry["cache_write_tokens"]
    thought = 0 if "reasoning" in untold else entry["reasoning_tokens"]
    rates = PICO[entry["prompt_tokens"] > SIZE]
    return nano(
        (entry["prompt_tokens"] - entry["cached_tokens"] - written) * rates["fresh"]
        + entry["cached_tokens"] * rates["cached"]
        + written * rates["hour" if more == "hour" and "hour" not in untold else "written"]
        + thought * rates["thought"]
        + (entry["completion_tokens"] - thought) * rates["said"]
    )


def request_of(path: str, model: str, plan: dict[str, Any], dice: random.Random, *, stream: bool) -> Any:
    """A path and a body whose last words say what the simulator is to do."""
    words = f"hello {'so ' * dice.choice([0, 0, 90])}{dice.randrange(10**6)} #simulator {json.dumps(plan)}"
    seen = dice.random() < 0.2
    if path == "gemini":
        parts: list[Any] = [{"text": words}]
        if seen:
            parts.insert(0, {"inlineData": {"mimeType": "image/png", "data": PIXEL}})
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        config = {"maxOutputTokens": 3000, "thinkingConfig": {"includeThoughts": True}}
        return f"/v1beta/models/{model}:{verb}", {
            "contents": [{"role": "user", "parts": parts}],
            "generationConfig": config,
        }
    text: dict[str, Any] = {"type": "input_text" if path == "responses" else "text", "text": words}
    data = f"data:image/png;base64,{PIXEL}"
    picture: Any = {"type": "image_url", "image_url": {"url": data}}
    if path == "responses":
        picture = {"type": "input_image", "image_url": data}
        item = {"type": "message", "role": "user", "content": [*([picture] if seen else []), text]}
        return "/v1/responses", {"model": model, "input": [item], "stream": stream, "max_output_tokens": 3000}
    if path == "messages":
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
        if plan.get("cache_write_tokens"):
            text["cache_control"] = {"type": "ephemeral", **({"ttl": "1h"} if model.endswith("+hour") else {})}
    body = {"model": model, "messages": [{"role": "user", "content": [*([picture] if seen else []), text]}]}
    return (CHAT if path == "chat" else "/v1/messages"), {**body, "stream": stream, "max_tokens": 3000}


def plans(dice: random.Random) -> Iterator[dict[str, Any]]:
    for _ in range(ROUNDS):
        plan: dict[str, Any] = {"output_tokens": dice.randrange(1, 40), "chunk_bytes": dice.choice([7, 64, 4096])}
        plan |= dice.choice([{}, {"cached_tokens": dice.randrange(9)}, {"reasoning": True}])
        plan |= dice.choice([{}, {"cache_write_tokens": dice.randrange(1, 5)}])
        yield plan


def two_payers(gateway: Gateway, name: str) -> Customer:
    """A customer with a promotion that its calls empty, and with bought credit."""
    made = customer_of(gateway, name, "100", "any")
    made.grant("0.05", time.time() + 3600)
    return made


class Asker:
    """A client of one dialect that asks every wire, and what it was told of each request: its id, whether that must be
    free, and what it costs at most."""

    def __init__(self, path: str, customer: Customer) -> None:
        self.path = path
        self.customer = customer
        self.told: list[tuple[str, bool, int]] = []
        self._dice = random.Random(path)

    def ask_all(self) -> None:
        with self.customer.open() as connection:
            for name in WIRES:
                for stream in (False, True):
                    for plan in plans(self._dice):
                        assert self._ask(connection, name, plan, stream=stream).status == 200
                    if self.path == "messages":
                        plan = {"cache_write_tokens": 3, "output_tokens": 5}
                        assert self._ask(connection, f"{name}+hour", plan, stream=stream).status == 200
                    for plan in TROUBLES:
                        self._trouble(connection, f"{name}+trouble", plan, stream=stream)

    def _ask(self, connection: Connection, model: str, plan: dict[str, Any], *, stream: bool) -> Answer:
        path, body = request_of(self.path, model, plan, self._dice, stream=stream)
        connection.send(self.customer.bytes_of("POST", path, body))
        return connection.answer()

    def _trouble(self, connection: Connection, model: str, plan: dict[str, Any], *, stream: bool) -> None:
        answer = self._ask(connection, model, plan, stream=stream)
        has_content = answer.status == 200
        assert has_content or answer.status in (400, 503), answer  # 400: a fault that its wire has no place for
        tokens = len(answer.body) if has_content else 0
        self.told.append(
            (answer.header("x-request-id") or "", not has_content, COUNTED_MAX + tokens * PICO[1]["thought"] // 1000)
        )


def test_i12_on_every_wire(session_folder: Path, simulator: Simulator, since: int) -> None:
    gateway = Gateway(session_folder, config(simulator))
    askers = [Asker(path, two_payers(gateway, f"wires-{path}")) for path in PATHS]
    first = askers[0].customer
    [key] = [each for each in command_json(gateway, "keys", "list") if each["id"] == first.key_id]
    command_json(gateway, "budgets", "set", key["project_id"], "total", "50")
    each_in_a_thread(len(askers), lambda number: askers[number].ask_all())
    last_entry(simulator)
    assert gateway.stop() == 0
    entries = simulator.get(f"/simulator/truth?since={since}")["entries"]
    books = first.books
    rows = books.rows(
        "SELECT lower(hex(u.id)), u.model, u.stream, u.cost, r.charged, r.hold FROM usage AS u "
        "JOIN reservation AS r ON r.id = u.id"
    )
    assert len(rows) == len(entries)
    assert all(cost == charged <= hold for _, _, _, cost, charged, hold in rows)
    sound = [row for row in rows if not row[1].endswith("+trouble")]
    assert len(sound) >= len(PATHS) * len(WIRES) * 2 * ROUNDS
    assert Counter((model, bool(stream), cost) for _, model, stream, cost, _, _ in sound) == Counter(
        (entry["model"], entry["stream"], cost_of_truth(entry))
        for entry in entries
        if not entry["model"].endswith("+trouble")
    )
    charged = {row[0]: row[4] for row in rows}
    for request_id, is_free, most in [each for asker in askers for each in asker.told]:
        found = charged[request_id.replace("-", "")]
        assert found == 0 if is_free else 0 < found <= most, request_id
    total = sum(charged.values())
    assert sum(asker.customer.spent for asker in askers) == total
    assert books.number(BUDGETED) == first.spent
    assert books.number(PROMISED) == len(askers) * PROMOTION_NANO  # and what was above came from bought credit
    proof = books.in_order()
    assert proof.sums_nano["revenue"] == total
    assert (proof.active_leases, proof.open_reservations, books.leased()) == (0, 0, 0)  # I8
