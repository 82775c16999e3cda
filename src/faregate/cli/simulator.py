"""`faregate simulator`: a provider to test against, on a real socket."""

import argparse
import json
import os
import sys

from ..simulator import serve

FAILURES = (OSError,)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""

    def ready(port: int) -> None:
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        base_url = f"http://{host}:{port}/v1"
        line = json.dumps({"base_url": base_url, "port": port, "pid": os.getpid()})
        sys.stdout.write(f"{line}\n" if arguments.json else f"the simulator answers at {base_url}\n")
        sys.stdout.flush()

    serve.run(arguments.host, arguments.port, log_path=arguments.truth, ready=ready)
    return 0
