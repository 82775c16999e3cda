"""What each model of the catalogue takes (core.catalog.Capabilities): from its tags, and from [[capabilities]] of
catalog_overrides.toml, whose later entries win. Anew for a catalogue that exists:

    python scripts/catalog_capabilities.py --catalog src/faregate/data/catalog.json
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

OVERRIDES = Path(__file__).with_name("catalog_overrides.toml")

# A flag that a list has is a fact; that it lacks one is a fact only of a model that it says anything of.
_IF_ABSENT_FALSE = {"vision": "images", "audio": "audio"}
_IF_PRESENT = {"json_schema": "structured_outputs", "pdf": "documents", "reasoning": "reasoning"}


def capabilities_of(model: dict[str, Any], rules: list[dict[str, Any]]) -> dict[str, Any]:
    """In: a catalogue entry, the [[capabilities]] tables. Out: its capabilities, those that are known."""
    if model["kind"] != "chat":
        return {}
    tags = set(model["tags"])
    found: dict[str, Any] = {name: True for tag, name in _IF_PRESENT.items() if tag in tags}
    if tags:
        found |= {name: tag in tags for tag, name in _IF_ABSENT_FALSE.items()}
    for rule in rules:
        fits = any(fnmatch.fnmatchcase(model["id"], pattern) for pattern in rule["models"])
        if fits and tags.issuperset(rule.get("tags", ())):
            found |= {name: value for name, value in rule.items() if name not in ("models", "tags")}
    return found


def unused(models: list[dict[str, Any]], rules: list[dict[str, Any]]) -> list[str]:
    """The patterns that fit no model: stale lines."""
    ids = [model["id"] for model in models]
    return [pattern for rule in rules for pattern in rule["models"] if not fnmatch.filter(ids, pattern)]


def main(arguments: list[str]) -> int:
    """In: command line. Out: exit status; rewrites the catalogue's capabilities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", type=Path, required=True)
    options = parser.parse_args(arguments)
    rules = tomllib.loads(OVERRIDES.read_text())["capabilities"]
    lines, models = [], []
    for line in options.catalog.read_text().splitlines():
        if not line.startswith('{"id":'):
            lines.append(line)
            continue
        model = json.loads(line.rstrip(","))
        model["capabilities"] = capabilities_of(model, rules)
        models.append(model)
        comma = "," if line.endswith(",") else ""
        lines.append(json.dumps(model, separators=(",", ":"), ensure_ascii=False) + comma)
    if stale := unused(models, rules):
        print(f"catalog_capabilities: no model is called {', '.join(stale)}", file=sys.stderr)
        return 1
    options.catalog.write_text("\n".join(lines) + "\n")
    print(f"{sum(bool(model['capabilities']) for model in models)} of {len(models)} models")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
