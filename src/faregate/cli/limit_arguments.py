"""How plans, limits and throughput are said on the command line."""

import argparse

NO_LIMIT = 0  # what `none` is; a limit is at least 1
_NONE = "none"
_LIMIT_MAX = 10**12
_REQUESTS_MAX = 10_000_000
_LONGEST_S_MAX = 86_400
_UNITS_S = {"s": 1, "m": 60, "h": 3_600}
CLASSES = ("chat", "embeddings", "images", "audio", "videos", "music", "files", "all")
LEVELS = {"key": "key", "project": "project", "org": "organisation"}  # options -> fields of a plan


def add_bounds(command: argparse.ArgumentParser, level: str = "") -> None:
    """The options for what is counted of a subject; in a plan, of each at a `level`."""
    start, of = (f"--{level}-", f", of each {LEVELS[level]}") if level else ("--", "")
    command.add_argument(
        f"{start}requests-per-minute",
        action="append",
        type=_requests,
        metavar="[CLASS=]N",
        help=f"requests in any 60 seconds{of}, of a class ({', '.join(CLASSES[:-1])}) or of all together (repeatable)",
    )
    command.add_argument(f"{start}tokens-per-minute", type=_limit, metavar="N", help=f"tokens a minute{of}")
    command.add_argument(f"{start}concurrency", type=_count, metavar="N", help=f"calls at the same time{of}")
    command.add_argument(f"{start}tokens-per-day", type=_limit, metavar="N", help=f"tokens in a day (UTC){of}")


def add_allowances(command: argparse.ArgumentParser, *lists: str) -> None:
    """The options for what one request may be. `lists` are of `model` and `region`."""
    command.add_argument("--context-tokens", type=_limit, metavar="N", help="tokens of a request's input at most")
    command.add_argument("--output-tokens", type=_limit, metavar="N", help="tokens of an answer at most")
    command.add_argument(
        "--longest-request", type=_longest, metavar="TIME", help="how long a request may take, as in 120s"
    )
    for name in lists:
        command.add_argument(f"--{name}", action="append", metavar=name.upper(), help=f"only this {name} (repeatable)")
        command.add_argument(f"--any-{name}", action="store_true", help=f"end the list of {name}s")


def add_plan(command: argparse.ArgumentParser) -> None:
    """The options for all that a plan says."""
    command.add_argument("name", help="up to 64 letters, digits, dots, - and _")
    add_allowances(command, "model", "region")
    command.add_argument("--storage-bytes", type=_limit, metavar="N", help="bytes of files, which are not served yet")
    command.add_argument("--retention-days", type=_days, metavar="N", help="days for which records are kept")
    for level in LEVELS:
        add_bounds(command, level)


def add_throughput(command: argparse.ArgumentParser) -> None:
    """The options for an amount of throughput."""
    for kind in ("requests", "tokens"):
        command.add_argument(f"--{kind}", type=_amount, metavar="N", help=f"{kind} a minute")


def _requests(text: str) -> tuple[str, int]:
    name, equals, number = text.rpartition("=")
    if (equals and name not in CLASSES) or not (number == _NONE or _is_number(number, _REQUESTS_MAX)):
        raise argparse.ArgumentTypeError(
            f"give a number from 1, CLASS=NUMBER or CLASS=none; a class is one of {', '.join(CLASSES)}"
        )
    return name or "all", NO_LIMIT if number == _NONE else int(number)


def _limit(text: str) -> int:
    return _number_or_none(text, _LIMIT_MAX)


def _count(text: str) -> int:
    return _number_or_none(text, _REQUESTS_MAX)


def _days(text: str) -> int:
    return _number_or_none(text, 36_500)


def _amount(text: str) -> int | str:
    """Of throughput, where nothing is an amount too."""
    if text not in (_NONE, "0") and not _is_number(text, _LIMIT_MAX):
        raise argparse.ArgumentTypeError(f"give a number, 0 to {_LIMIT_MAX}, or none")
    return text if text == _NONE else int(text)


def _longest(text: str) -> int:
    unit = _UNITS_S.get(text[-1:], 0)
    number = text[:-1] if unit else text
    if text == _NONE:
        return NO_LIMIT
    if not _is_number(number, _LONGEST_S_MAX // (unit or 1)):
        raise argparse.ArgumentTypeError("give a time of at most 24h, as in 120s, or none")
    return int(number) * (unit or 1)


def _number_or_none(text: str, most: int) -> int:
    if text == _NONE:
        return NO_LIMIT
    if not _is_number(text, most):
        raise argparse.ArgumentTypeError(f"give a number, 1 to {most}, or none")
    return int(text)


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most
