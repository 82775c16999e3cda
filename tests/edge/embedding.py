"""Models of which each has its provider with embeddings, and what clients ask them."""

import json
from typing import Any

from tests.running.client import Answer, Caller
from tests.running.processes import Simulator
from tests.running.upstreams import Upstream, Visit, refused_port

TEXTS = ["the first", "größer 🥊", "the last"]
EMBEDDINGS = "/v1/embeddings"
MODELS = ("exact", "compatible", "gemini", "cohere")
_PATHS = {"exact": "/v1", "compatible": "/v1", "gemini": "/v1beta", "cohere": "/v2"}
_DIALECTS = {"gemini": "gemini_generate", "cohere": "cohere_chat"}


def providers(simulator: Simulator, scripted: Upstream) -> str:
    """The simulator as each provider; `raw-...` follow a script, `down` is."""
    tables = []
    for name, path in _PATHS.items():
        dialect = _DIALECTS.get(name, "openai_chat")
        for prefix, port in (("", simulator.port), ("raw-", scripted.port)):
            wire = "compatible" if name == "compatible" else "exact"
            tables.append(
                f'[providers.{prefix}{name}]\nbase_url = "http://127.0.0.1:{port}{path}"\nkey = "secret-key"\n'
                f'dialect = "{dialect}"\nwire = "{wire}"\nmodels = ["{prefix}{name}"]\n'
                f"zero_retention = {'true' if name == 'exact' else 'false'}"
            )
    down = f'base_url = "http://127.0.0.1:{refused_port()}/v1"\nkey = "secret-key"\nmodels = ["down"]'
    return "\n".join([*tables, f"[providers.down]\n{down}"])


def route(model: str, provider: str, weight: int = 1, upstream: str = "upstream-name") -> str:
    return f'[[routes]]\nmodel = "{model}"\nprovider = "{provider}"\nupstream_model = "{upstream}"\nweight = {weight}\n'


def configuration(simulator: Simulator, scripted: Upstream) -> str:
    """A model of each provider; `second-try` has a target that is down, `falling` another model to fall back to."""
    return f"""
[[houses]]
house = "apilink"
hosts = ["apilink.example.com"]

[plans.tight.key]
requests_per_minute = {{ chat = 2, embeddings = 1 }}
[plans.small]
context_tokens_max = 20

{providers(simulator, scripted)}

[providers.claude]
base_url = "{simulator.base_url}"
key = "secret-key"
dialect = "anthropic_messages"
models = ["claude"]

[models.falling]
fallbacks = ["exact"]

{route("falling", "down")}
{route("second-try", "down", 1_000_000)}
{route("second-try", "cohere", 0)}
{route("either", "cohere", 1_000_000)}
{route("either", "exact", 0)}
{route("old-gemini", "gemini", upstream="gemini-embedding-001")}
{route("renamed", "exact")}

[aliases]
"nick/name" = "renamed"
"""


def embed(caller: Caller, model: str, given: Any = TEXTS, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    """Texts as OpenAI's clients have them embedded, without an encoding unless `more` names one."""
    return caller.ask("POST", EMBEDDINGS, {"model": model, "input": given, **more}, headers)


def content(text: str, **members: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}, **members}


def embed_content(
    caller: Caller, model: str, *texts: str, headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    """Texts as Gemini's clients have them embedded: a batch, or the one."""
    if len(texts) == 1:
        return caller.ask("POST", f"/v1beta/models/{model}:embedContent", content(texts[0], **more), headers)
    body = {"requests": [content(text, model=f"models/{model}", **more) for text in texts]}
    return caller.ask("POST", f"/v1beta/models/{model}:batchEmbedContents", body, headers)


def given_by(upstream: str, vectors: list[Any], usage: Any = 7) -> bytes:
    """A provider's answer; no usage where that is None."""
    if upstream.endswith("gemini"):
        metadata = {} if usage is None else {"usageMetadata": {"promptTokenCount": usage}}
        return json.dumps({"embeddings": [{"values": vector} for vector in vectors], **metadata}).encode()
    if upstream.endswith("cohere"):
        meta = {} if usage is None else {"meta": {"billed_units": {"input_tokens": usage}}}
        return json.dumps({"embeddings": {"float": vectors}, **meta}).encode()
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
    figures = {} if usage is None else {"usage": {"prompt_tokens": usage, "total_tokens": usage}}
    return json.dumps({"object": "list", "data": data, "model": "odd", **figures}).encode()


def gives(body: bytes, status: int = 200) -> Any:
    """A script: that answer, whatever is asked."""

    def script(visit: Visit) -> None:
        visit.whole(status, body)

    return script
