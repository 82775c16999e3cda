"""Models whose fallbacks serve in their place, for the tests of that."""

import json
from collections.abc import Iterator
from typing import Any

from tests.running.client import Answer
from tests.running.upstreams import Script, Upstream, Visit, refused_port

CLIENTS = ["openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"]
PRICE = 'price = { input = "1", cache_read = "0.1", output = "2" }'
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}
LONG = "many words " * 400
# Fallbacks that are passed over, and what is said of them
UNFIT = {
    "barred": "",
    "blind": "capabilities = { images = false }\n",
    "deaf": "capabilities = { audio = false }\n",
    "small": "context_window = 200\n",
    "keeping": "",
    "abroad": "",
}
FIRST_OF = {name: f"then-{name}" for name in UNFIT} | {"unpriced": "then-unpriced"}


def _provider(name: str, base_url: str, dialect: str = "openai_chat", more: str = "zero_retention = true") -> str:
    return (
        f'[providers.{name}]\nbase_url = "{base_url}"\nkey = "{name}-secret-key"\ndialect = "{dialect}"\n'
        f'wire = "exact"\nmodels = []\n{more}\n'
    )


def _model(name: str, provider: str, fallbacks: list[str] | None = None, more: str = "") -> str:
    return (
        f'[models."{name}"]\n{PRICE}\nfallbacks = {fallbacks or []}\n{more}'
        f'[[routes]]\nmodel = "{name}"\nprovider = "{provider}"\nupstream_model = "up-{name}"\n'
    )


def settings(first: Upstream, spare: Upstream) -> str:
    """`lost-DIALECT` is at nobody's and falls back to `of-DIALECT`, at `spare`; `led`, at `first`, to `of-openai_chat`;
    `then-X` to X, which is unfit, and then to `of-openai_chat`."""
    nobody = f"http://127.0.0.1:{refused_port()}/v1"
    tables = [_provider("nobody", nobody), _provider("first", first.base_url)]
    for dialect in CLIENTS:
        tables.append(_provider(dialect, spare.base_url, dialect))
        tables.append(_model(f"of-{dialect}", dialect))
        tables.append(_model(f"lost-{dialect}", "nobody", [f"of-{dialect}"]))
    kept = _provider("keeper", spare.base_url, more="")
    tables += [kept, _provider("afar", spare.base_url, more='region = "afar"\nzero_retention = true')]
    for name, more in UNFIT.items():
        provider = {"keeping": "keeper", "abroad": "afar"}.get(name, "openai_chat")
        tables.append(_model(name, provider, more=more))
    tables.append('[[routes]]\nmodel = "unpriced"\nprovider = "openai_chat"\n')
    tables += [_model(first, "nobody", [name, "of-openai_chat"]) for name, first in FIRST_OF.items()]
    tables += [
        _model("also-lost", "nobody", ["of-openai_chat"]),
        _model("twice", "nobody", ["also-lost", "of-openai_chat"]),
        _model("no-further", "nobody", ["also-lost"]),
        f'[models.plainly]\n{PRICE}\n[[routes]]\nmodel = "plainly"\nprovider = "openai_chat"\n',
        _model("lost-plainly", "nobody", ["plainly"]),
        _model("brief", "nobody", ["of-openai_chat"], "max_output_tokens = 50\n"),
        _model("led", "first", ["of-openai_chat"]),
        _model("led-on", "first", ["of-anthropic_messages"]),
        '[aliases]\n"nick" = "lost-openai_chat"\n',
        '[plans.here]\nregions = ["default"]\n[plans.few]\nmodels = ["then-barred", "of-openai_chat"]\n',
    ]
    return '[ledger]\ndemo_credit = "1000000"\n' + "".join(tables)


def refusing(status: int, words: str = "no such thing") -> Script:
    """Whoever comes has this error."""
    body = json.dumps({"error": {"message": words, "type": "invalid_request_error", "code": "bad"}}).encode()
    return lambda visit: visit.whole(status, body)


def hanging_up(visit: Visit) -> None:
    """Whoever comes is left without an answer."""
    visit.reset()


def models_said(answer: Answer) -> list[Any]:
    """Every model that an answer names, in all of its events."""
    if not (answer.header("content-type") or "").startswith("text/event-stream"):
        return list(_models_in(answer.json()))
    lines = bytes(answer.body).split(b"\n")
    return list(_models_in([json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]))


def _models_in(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _models_in(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in ("model", "modelVersion"):
                yield each
            else:
                yield from _models_in(each)
