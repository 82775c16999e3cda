"""`python -m bench`: measure the gateway beside the direct upstream, nginx and any peer.

The exit code is 1 where a required bar is missed (with --require), 2 where nothing could run or
ours failed under load.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import NGINX, OURS
from bench.measures import Effort, Measures
from bench.processes import LOAD_CORE, machine_facts, pin
from bench.report import as_json, markdown, verdicts
from bench.systems import HERE, Systems, load_peers
from bench.verify import NotRelayed, verify

SECTIONS = ("requests", "chunks", "translation", "holds", "limits", "latency", "memory", "startup")


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time, wider spreads")
    parser.add_argument("--only", default=",".join(SECTIONS), help="some of " + ",".join(SECTIONS))
    parser.add_argument("--systems", default="", help="some of the systems, by name")
    parser.add_argument("--rounds", type=int, default=0, help="alternations (5; quick: 3)")
    parser.add_argument("--peers", type=Path, default=HERE / "peers.toml")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument("--markdown", type=Path, help="write the report to this file")
    parser.add_argument("--require", action="store_true", help="fail where a bar is missed")
    chosen = parser.parse_args(words)
    chosen.only = chosen.only.split(",")
    if unknown := set(chosen.only) - set(SECTIONS):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    return chosen


def start_all(systems: Systems, wanted: list[str]) -> list[str]:
    """Start and verify every system; return the names of those that relay."""
    working = []
    for name in systems.starters:
        if wanted and name not in wanted:
            continue
        if name == NGINX and shutil.which("nginx") is None:
            print("nginx is not installed: no ratio will be measured", flush=True)
            continue
        try:
            verify(systems.start(name))
        except (RuntimeError, NotRelayed, OSError, KeyError, ValueError) as error:
            print(f"{name} is left out: {error}", flush=True)
            systems.end(name)
            continue
        working.append(name)
    return working


def run(chosen: argparse.Namespace, directory: Path) -> int:
    """Start everything, measure, report."""
    systems = Systems(directory, load_peers(chosen.peers))
    command = "python -m bench " + " ".join(sys.argv[1:])
    try:
        names = start_all(systems, [word for word in chosen.systems.split(",") if word])
        if not names:
            print("there is nothing to measure", flush=True)
            return 2
        effort = Effort.quick() if chosen.quick else Effort()
        effort.rounds = chosen.rounds or effort.rounds
        measures = Measures(systems, names, effort)
        for section in chosen.only:
            begun_s = time.monotonic()
            print(f"measuring {section} of {', '.join(names)} ...", flush=True)
            getattr(measures, section)()
            print(f"  took {time.monotonic() - begun_s:.0f} s", flush=True)
    finally:
        systems.close()
    facts = machine_facts()
    text = markdown(measures.figures, facts, command.strip(), measures.failures)
    print("\n" + text)
    if chosen.markdown:
        chosen.markdown.write_text(text)
    if chosen.json:
        figures = as_json(measures.figures, facts, command.strip(), measures.failures)
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")
    if any(OURS in failure for failure in measures.failures):
        return 2
    missed = any(each["verdict"] == "NOT MET" for each in verdicts(measures.figures))
    return int(missed and chosen.require)


def main() -> int:
    """Measure from the load's core, so that the other belongs to the system measured."""
    chosen = arguments(sys.argv[1:])
    os.chdir(HERE.parent)
    pin(LOAD_CORE)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        return run(chosen, Path(directory))


if __name__ == "__main__":
    raise SystemExit(main())
