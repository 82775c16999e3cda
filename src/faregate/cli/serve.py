"""`faregate serve`: the gateway."""

import argparse

from .up import FAILURES, start

__all__ = ["FAILURES", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    return start(arguments, demo=False)
