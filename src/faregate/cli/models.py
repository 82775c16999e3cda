"""`faregate models`: what would be served."""

import argparse
import sys

import msgspec

from .context import show_json, show_table
from .offer import FAILURES, make_offer

__all__ = ["FAILURES", "run"]


def run(arguments: argparse.Namespace) -> int:
    """List the models."""
    offer = make_offer(arguments)
    snapshot = offer.snapshot
    models = [snapshot.models[name] for name in sorted(snapshot.models)]
    if arguments.json:
        show_json([{**msgspec.to_builtins(model), "targets": snapshot.targets[model.id]} for model in models])
        return 0
    columns = ("model", "vendor", "kind", "window", "served by")
    show_table(
        columns,
        (
            (
                model.id,
                model.vendor,
                model.kind,
                model.context_window or "-",
                ", ".join(f"{target.provider}:{target.upstream_model}" for target in snapshot.targets[model.id]),
            )
            for model in models
        ),
    )
    for name in offer.asked_at_start:
        sys.stderr.write(f"{name} is asked for its models when the gateway runs\n")
    return 0
