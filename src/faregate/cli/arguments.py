"""What may be said on the command line. Imports nothing heavy: `faregate --help` answers at once."""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

from .. import __version__
from .limit_arguments import add_allowances, add_bounds, add_plan, add_throughput

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_GRACE_S_MAX = 7 * 86_400
WORKERS_MAX = 64
_USAGE_GROUPS = ("day", "org", "project", "key", "model")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message} (see {self.prog} --help)\n")
        sys.exit(2)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command. `noun` names its file, `verb` what it is to do there. Exits for --help and errors."""
    if list(words) == ["worker"]:
        return argparse.Namespace(noun="worker")  # for `workers.py` alone, so that no help and no error lists it
    parser = _Parser(prog="faregate", description="A self-hosted, OpenAI-compatible LLM API gateway.")
    parser.add_argument("--version", action="version", version=f"faregate {__version__}")
    nouns = parser.add_subparsers(dest="noun", metavar="COMMAND", required=True, parser_class=_Parser)
    _gateway(nouns)
    _organisations(nouns)
    _projects(nouns)
    _keys(nouns)
    _plans(nouns)
    _credits(nouns)
    _prices(nouns)
    _usage(nouns)
    _others(nouns)
    return parser.parse_args(words)


def _gateway(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    for noun, text in (
        ("up", "start the gateway with a key made on the spot; the simulator answers where no provider is set"),
        ("serve", "start the gateway, without making a key; else as `up`"),
    ):
        command = nouns.add_parser(noun, help=text, description=text)
        _common(command, "print one line of JSON once ready")
        command.add_argument("--host", help="address to listen on (default: as the settings say, 127.0.0.1)")
        command.add_argument("--port", type=_port, help="port to listen on, 0 for any (default: 8080)")
        command.add_argument(
            "--workers", type=_workers, metavar="N", help="processes that share the port and the data (default: 1)"
        )


def _organisations(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    verbs = _verbs(nouns, "orgs", "organisations: tenants of the gateway")
    create = _verb(verbs, "create", "make an organisation; it pays from credit, which `credits add` gives it")
    create.add_argument("name")
    create.add_argument("--metered", action="store_true", help="it needs no credit: what it uses is only counted")
    _verb(verbs, "list", "list the organisations")
    billing = _verb(verbs, "billing", "change how an organisation pays")
    billing.add_argument("organisation", help="id or name")
    billing.add_argument("how", choices=("prepaid", "metered"), help="from credit, or without")
    plan = _verb(verbs, "plan", "give an organisation a plan")
    plan.add_argument("organisation", help="id or name")
    which = plan.add_mutually_exclusive_group(required=True)
    which.add_argument("plan", nargs="?", help="its name, as `plans list` has it")
    which.add_argument("--default", action="store_true", help="the default plan of those that paid, or never did")
    setting = _verb(verbs, "set", "limit an organisation more closely than its plan does; `none` ends a limit")
    setting.add_argument("organisation", help="id or name")
    add_bounds(setting)
    _verb(verbs, "limits", "the limits that hold in the end").add_argument("organisation", help="id or name")
    for verb, text in (("disable", "refuse all its keys (403)"), ("enable", "undo disable")):
        _verb(verbs, verb, text).add_argument("organisation", help="id or name")


def _projects(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    verbs = _verbs(nouns, "projects", "projects: what an organisation's keys belong to")
    create = _verb(verbs, "create", "make a project")
    create.add_argument("name")
    create.add_argument("--org", required=True, metavar="ORG", help="the organisation's id or name")
    listing = _verb(verbs, "list", "list the projects")
    listing.add_argument("--org", metavar="ORG", help="of this organisation only")
    setting = _verb(verbs, "set", "limit a project more closely than its plan does; `none` ends a limit")
    setting.add_argument("project", help="id or name")
    add_bounds(setting)
    add_allowances(setting, "model", "region")
    _verb(verbs, "limits", "the limits that hold in the end").add_argument("project", help="id or name")
    for verb, text in (("disable", "refuse all its keys (403)"), ("enable", "undo disable")):
        _verb(verbs, verb, text).add_argument("project", help="id or name")


def _keys(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    verbs = _verbs(nouns, "keys", "API keys")
    create = _verb(verbs, "create", "make a key and print it, once, to standard output")
    create.add_argument("name")
    create.add_argument("--project", required=True, help="the project's id or name")
    create.add_argument(
        "--expires", type=_moment, metavar="WHEN", help="after a time (30d, 12h) or at a date (2027-01-31, UTC)"
    )
    create.add_argument("--model", action="append", default=[], help="allow this model only (repeatable)")
    create.add_argument(
        "--address", action="append", default=[], help="allow this address or network only (repeatable)"
    )
    create.add_argument(
        "--bill", action="append", default=[], metavar="PROJECT", help="a further project that it may bill (repeatable)"
    )
    create.add_argument("--house", metavar="NAME", help="the house whose door it opens (default: the main one)")
    setting = _verb(verbs, "set", "limit a key more closely than its plan does; `none` ends a limit")
    setting.add_argument("id")
    for verb in (create, setting):
        add_bounds(verb)
        add_allowances(verb, "region")
    _verb(verbs, "limits", "the limits that hold in the end").add_argument("id")
    listing = _verb(verbs, "list", "list the keys; what opens them is not kept")
    listing.add_argument("--project", help="of this project only")
    _verb(verbs, "revoke", "end a key for good, everywhere within a second").add_argument("id")
    rotate = _verb(verbs, "rotate", "give a key a new secret under the same id and print it, once")
    rotate.add_argument("id")
    rotate.add_argument(
        "--grace",
        type=_grace,
        default=0.0,
        metavar="TIME",
        help="how long the old secret still opens, as in 24h: at most 7d (default: not at all)",
    )


def _plans(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    verbs = _verbs(nouns, "plans", "plans: what organisations may do, beside what they pay for")
    add_plan(_verb(verbs, "create", "make a plan; what is not said is not bounded"))
    add_plan(_verb(verbs, "set", "change a plan; `none` ends a limit"))
    _verb(verbs, "list", "list the plans, those of the settings too")
    _verb(verbs, "show", "what a plan says").add_argument("name")
    _verb(verbs, "remove", "end a plan that was made here, and that no organisation has").add_argument("name")
    verbs = _verbs(nouns, "throughput", "requests and tokens a minute that are reserved for organisations")
    setting = _verb(verbs, "set", "reserve so much for an organisation; `none` ends it")
    setting.add_argument("organisation", help="id or name")
    sharing = _verb(verbs, "share", "give a project or key so much of it to itself; `none` ends its share")
    sharing.add_argument("subject", metavar="PROJECT-OR-KEY", help="a project's id or name, or a key's id")
    moving = _verb(verbs, "move", "take from one share and give to another of the organisation, in one step")
    moving.add_argument("source", metavar="SOURCE", help="a project's id or name, or a key's id")
    moving.add_argument("target", metavar="TARGET", help="likewise")
    for verb in (setting, sharing, moving):
        add_throughput(verb)
    listing = _verb(verbs, "list", "what is reserved, how it is shared out, and what is left of each share")
    listing.add_argument("organisation", nargs="?", help="of this one only: id or name")


def _credits(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    verbs = _verbs(nouns, "credits", "prepaid credit, in US dollars: every move is a double entry with a reason")
    add = _verb(verbs, "add", "give an organisation credit")
    add.add_argument("--promotional", action="store_true", help="a promotion: spent first, may expire")
    add.add_argument(
        "--expires", type=_moment, metavar="WHEN", help="of a promotion: after a time (30d) or at a date (2027-01-31)"
    )
    add.add_argument("--once", metavar="KEY", help="a key of your own: said again, the same move is not made twice")
    remove = _verb(verbs, "remove", "take bought credit back, of what is neither spent nor held")
    for verb in (add, remove):
        verb.add_argument("organisation", help="id or name")
        verb.add_argument("amount", help="dollars, as in 25.00; at most 9 digits behind the point")
        verb.add_argument("--reason", required=True, help="why, for the statement and the audit log")
    refunding = _verb(verbs, "refund", "give back what a request was charged")
    refunding.add_argument("request", help="its id")
    refunding.add_argument("amount", nargs="?", help="dollars; all that is left of the charge where none is said")
    refunding.add_argument(
        "--once", metavar="KEY", help="a key of your own: said again, the same move is not made twice"
    )
    refunding.add_argument("--reason", required=True, help="why, for the statement and the audit log")
    expire = _verb(verbs, "expire", "end a promotion: what is left of it goes back")
    expire.add_argument("promotion", help="its account, as `credits show` names it")
    expire.add_argument("--reason", required=True, help="why, for the statement and the audit log")
    _verb(verbs, "show", "what an organisation has, account by account").add_argument("organisation", help="id or name")
    _verb(verbs, "statement", "every move of its credit").add_argument("organisation", help="id or name")
    verbs = _verbs(nouns, "budgets", "what a project or key may spend in a day, a month, or in all")
    setting = _verb(verbs, "set", "allow so much in each period; 0 allows nothing")
    ending = _verb(verbs, "remove", "end a budget")
    for verb in (setting, ending):
        verb.add_argument("subject", metavar="PROJECT-OR-KEY", help="a project's id or name, or a key's id")
        verb.add_argument("period", choices=("day", "month", "total"))
    setting.add_argument("amount", help="dollars, as in 25.00")
    moving = _verb(verbs, "move", "let one project spend less and another of its organisation more, in one step")
    moving.add_argument("source", help="a project's id or name")
    moving.add_argument("target", help="a project's id or name")
    moving.add_argument("period", choices=("day", "month", "total"))
    moving.add_argument("amount", help="dollars")
    listing = _verb(verbs, "list", "the budgets, and what is spent, held and left of each now")
    listing.add_argument("subject", nargs="?", metavar="PROJECT-OR-KEY", help="of this one only")
    verbs = _verbs(nouns, "ledger", "the books")
    _verb(verbs, "verify", "check that they are in order; exits with 1 where they are not")


def _prices(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    verbs = _verbs(nouns, "prices", "what models cost, in US dollars: per million tokens, or per piece")
    listing = _verb(verbs, "list", "what is charged now, and whose price that is")
    listing.add_argument("model", nargs="*", help="these models only")
    _verb(verbs, "diff", "what is charged now against the list that was applied last")
    apply = _verb(verbs, "apply", "put on record what is charged now; what is charged are the settings, applied or not")
    apply.add_argument("--reason", required=True, help="why, for the history and the audit log")
    history = _verb(verbs, "history", "the lists that were applied, or what one model cost over time")
    history.add_argument("model", nargs="?", help="this model only")


def _usage(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    text = "what was used, summed up by day, project, key and model; costs are US dollars"
    command = nouns.add_parser("usage", help=text, description=text)
    _common(command)
    command.add_argument("--org", metavar="ORG", help="of this organisation only: id or name")
    command.add_argument("--project", metavar="PROJECT", help="of this project only: id or name")
    command.add_argument("--key", metavar="KEY", help="of this key only: its id")
    command.add_argument("--model", metavar="MODEL", help="of this model only, as `faregate models` names it")
    command.add_argument("--since", type=_date, metavar="DATE", help="the first day, as in 2027-01-31 (UTC)")
    command.add_argument("--until", type=_date, metavar="DATE", help="the last day")
    command.add_argument(
        "--by",
        type=_groups,
        default=("day",),
        metavar="WHAT",
        help=f"a sum for each of these, with commas between: {', '.join(_USAGE_GROUPS)} (default: day)",
    )


def _others(nouns: "argparse._SubParsersAction[_Parser]") -> None:
    text = "list the models that would be served"
    _common(nouns.add_parser("models", help=text, description=text))
    verbs = _verbs(nouns, "config", "settings")
    _verb(verbs, "check", "check the settings and say what would be served")
    verbs = _verbs(nouns, "house", "the public face of a gateway: paths, headers, errors, plans, prices")
    _verb(verbs, "list", "the houses that come with the gateway")
    for verb, text in (
        ("show", "all that a house says, as a file: the start of one of your own"),
        ("check", "whether a file is a house"),
    ):
        command = _verb(verbs, verb, text)
        command.add_argument("house", metavar="NAME-OR-FILE", help="one that is shipped, or a path that ends in .toml")
    text = "run the simulator, a provider to test against"
    simulator = nouns.add_parser("simulator", help=text, description=text)
    simulator.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    simulator.add_argument("--port", type=_port, default=8081, help="port to listen on, 0 for any (default: 8081)")
    simulator.add_argument("--truth", type=Path, metavar="FILE", help="append what was really consumed to this file")
    simulator.add_argument("--json", action="store_true", help="print one line of JSON once ready")
    text = "measure the gateway (python -m bench, from a source tree)"
    bench = nouns.add_parser("bench", help=text, description=text, add_help=False, prefix_chars="\0")
    bench.add_argument("words", nargs=argparse.REMAINDER)


def _verbs(nouns: "argparse._SubParsersAction[_Parser]", noun: str, text: str) -> "argparse._SubParsersAction[_Parser]":
    command = nouns.add_parser(noun, help=text, description=text)
    return command.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)


def _verb(verbs: "argparse._SubParsersAction[_Parser]", verb: str, text: str) -> _Parser:
    command = verbs.add_parser(verb, help=text, description=text)
    _common(command)
    return command


def _common(command: _Parser, json_help: str = "print JSON") -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: FAREGATE_CONFIG, else ./faregate.toml if there)"
    )
    command.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data directory (default: FAREGATE_DATA, else data beside the settings)",
    )
    command.add_argument("--json", action="store_true", help=json_help)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return int(text)


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"1 to {WORKERS_MAX} workers")
    return int(text)


def _duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError("a time is a number and s, m, h or d, as in 12h")
    return float(found[1]) * _SECONDS[found[2]]


def _grace(text: str) -> float:
    grace_s = _duration(text)
    if grace_s > _GRACE_S_MAX:
        raise argparse.ArgumentTypeError("a grace is at most 7d")
    return grace_s


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("give a date (2027-01-31)") from None


def _groups(text: str) -> tuple[str, ...]:
    groups = tuple(text.split(","))
    if not set(groups) <= set(_USAGE_GROUPS):
        raise argparse.ArgumentTypeError(f"give one or more of {','.join(_USAGE_GROUPS)}")
    return groups


def _moment(text: str) -> float:
    """Unix seconds, of a duration from now or of an ISO date or date and time (UTC where it names no zone)."""
    if _DURATION.fullmatch(text):
        moment = datetime.now(UTC).timestamp() + _duration(text)
    else:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError("give a time (30d) or a date (2027-01-31)") from None
        moment = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(moment):
        raise argparse.ArgumentTypeError("give a time (30d) or a date (2027-01-31)")
    return moment
