"""`faregate worker`: one of several gateways, started by their parent (workers.py), which tells it all there is to
know over its standard input."""

import argparse
import os
import pickle
import sys

from .. import app
from .up import FAILURES

__all__ = ["FAILURES", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop, or until the parent is gone."""
    del arguments
    settings, options = pickle.load(sys.stdin.buffer)
    return app.run(settings, options, os.environ)
