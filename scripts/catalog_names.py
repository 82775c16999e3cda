"""Names of models: how hosts spell them, how we compare them, and what a name tells.

Everything here is a function of strings and of the rules in catalog_overrides.toml.
"""

from __future__ import annotations

import re
from typing import Any

# How a host serves the weights, said in the name; "" is any other host.
SERVING_SUFFIX = {
    "": re.compile(r"-(fp8|fp4|nvfp4|bf16|maas)$"),
    "together": re.compile(r"-(fp8|fp4|turbo|hf)$"),
    "fireworks": re.compile(r"-(fp8|nvfp4|bf16|basic|hf)$"),
}
DATE_SUFFIX = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{2}-20\d{2})$")
SHORT_DATE = re.compile(r"-(2[3-6])(0[1-9]|1[0-2])$")


def normal(name: str) -> str:
    """In: a bare model name. Out: the form in which names are compared (contract 3.1)."""
    return re.sub(r"(?<=\d)\.(?=\d)", "-", name.lower())


def canonical(provider: str, upstream: str) -> str:
    """In: a host's name for a model. Out: the bare name without host-specific spelling."""
    name = upstream.rsplit("/", 1)[-1].lower()
    if provider == "fireworks":
        # Fireworks writes "p" for the point, and "llama-v3p1" for "llama-3.1".
        name = re.sub(r"(?<=\d)p(?=\d)", ".", name)
        name = re.sub(r"^llama-v(?=\d)", "llama-", name)
    name = name.removeprefix("meta-") if name.startswith("meta-llama-") else name
    name = re.sub(r"^nvidia-(?=nemotron)", "", name)
    name = re.sub(r"^qwen-(?=2\.5-|2-)", "qwen", name)
    suffix = SERVING_SUFFIX.get(provider, SERVING_SUFFIX[""])
    while suffix.search(name):
        name = suffix.sub("", name)
    return name


def vendor_of(path: str, name: str, rules: dict[str, Any]) -> str:
    """In: a host's full model path and its bare name. Out: who made the model."""
    parts = path.lower().split("/")
    prefixes = rules["vendor_prefixes"]
    if len(parts) == 2 and parts[0] in prefixes:
        return prefixes[parts[0]]
    for pattern, vendor in rules["rules"]["vendor_patterns"]:
        if re.search(pattern, name):
            return vendor
    return parts[0] if len(parts) == 2 else ""


def family_of(model_id: str, vendor: str) -> str:
    """In: an id. Out: its line, up to and with the version: gpt-4o-mini -> gpt-4o."""
    name = SHORT_DATE.sub("", DATE_SUFFIX.sub("", model_id))
    name = normal(name) if vendor == "anthropic" else name
    tokens = name.split("-")
    taken: list[str] = []
    for index, token in enumerate(tokens):
        if re.fullmatch(r"[ae]?\d+(\.\d+)?[bm]", token):
            break
        taken.append(token)
        if (index and re.search(r"\d", token)) or re.fullmatch(r"[a-z]+\d.*", token):
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            if vendor == "anthropic" and re.fullmatch(r"\d|sonnet|haiku|opus", following):
                continue
            break
    return "-".join(taken) or model_id


def is_closed(name: str, rules: dict[str, Any]) -> bool:
    """In: a bare name. Out: whether the model ends everywhere when its vendor ends it."""
    return any(re.search(pattern, name) for pattern in rules["rules"]["closed"])


def is_dropped(provider: str, upstream: str, rules: dict[str, Any]) -> bool:
    """In: a host's name for a model. Out: whether the overrides throw it away."""
    return any(re.search(pattern, f"{provider}/{upstream}") for pattern in rules["rules"]["drop"])


def known_prefixes(models: list[dict[str, Any]], rules: dict[str, Any]) -> list[str]:
    """Out: every name that may stand before a slash and a model's name, for these models."""
    prefixes = {*rules["vendor_prefixes"], *(model["vendor"] for model in models)}
    for model in models:
        for host in {"openrouter", "together", "groq"} & set(model["served_by"]):
            path = model["served_by"][host].lower().split("/")
            prefixes.update(path[:1] if len(path) == 2 else [])
    return sorted(prefixes)
