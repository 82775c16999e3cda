"""The command line's entry: `faregate` and `python -m faregate`."""

import sys

from .cli import main as run_command


def main() -> int:
    """Run the command that the process was started with; the exit code."""
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
