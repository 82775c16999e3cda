"""`faregate bench`: the measurements, which live in the source tree."""

import argparse
import subprocess
import sys
from pathlib import Path


class NoBench(Exception):
    """The measurements are not here."""


FAILURES = (NoBench, OSError)


def run(arguments: argparse.Namespace) -> int:
    """Run `python -m bench` with the words that follow; its exit code."""
    for tree in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (tree / "bench" / "__main__.py").is_file() and (tree / "src" / "faregate").is_dir():
            return subprocess.run([sys.executable, "-m", "bench", *arguments.words], cwd=tree, check=False).returncode
    raise NoBench("the measurements come with the source tree, not with the package: run this there, or make bench")
