"""`python -m faregate.simulator`: the simulator for whoever started it; prints its port, ends with its parent."""

import json
import sys

from .serve import run


def _ready(port: int) -> None:
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(ready=_ready, stop_with_parent=True)
