"""The command line: finds the noun, loads its file alone, turns what fails into one line and an exit code.

0 is done, 1 is failed, 2 is a command that cannot be understood.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from .arguments import parse

EXIT_FAILED = 1


def main(words: Sequence[str]) -> int:
    """Run the command of `words` (without the program's name); the exit code."""
    arguments = parse(words)
    try:
        noun = importlib.import_module(f"{__name__}.{arguments.noun}")  # what is heavy loads here, and only here
        try:
            code: int = noun.run(arguments)
        except noun.FAILURES as error:
            return _failed(arguments.noun, str(error))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read us has gone; nothing is left to say
        return EXIT_FAILED
    except Exception as error:  # a defect of ours; its words may be anybody's, so only its kind is shown
        return _failed(arguments.noun, f"internal error: {type(error).__name__}")


def _failed(noun: str, message: str) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"faregate {noun}: {line}\n")
    return EXIT_FAILED
