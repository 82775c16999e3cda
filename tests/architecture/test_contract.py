"""Every row of the contract is shown by a test that cites it, or stands in contract_pending.toml with the reason."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = (TESTS / "fixtures" / "contract_rows.txt").read_text("utf-8").split()
PENDING = tomllib.loads((TESTS / "contract_pending.toml").read_text("utf-8"))
CONTRACT = TESTS.parents[1] / "shared" / "spec" / "contract.md"

# These may become smaller, never larger.
PENDING_ROWS_MAX = 12
PENDING_PARTS_MAX = 5


def citations() -> Iterator[tuple[str, str]]:
    """Row and place of every `pytest.mark.contract(...)`, read without running anything."""
    for file in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.contract":
                where = f"{file.relative_to(TESTS)}:{node.lineno}"
                assert node.args and not node.keywords, f"{where}: names no row"
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{where}: a row is a text"
                    yield str(argument.value), where


CITED = list(citations())


def test_only_rows_that_there_are_are_cited() -> None:
    assert not [(row, where) for row, where in CITED if row not in ROWS]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_shown_or_pending(row: str) -> None:
    where = [place for cited, place in CITED if cited == row]
    assert bool(where) != (row in PENDING["rows"]), f"{row} is shown by {where} and pending" if where else "by nobody"


def test_what_is_pending_is_of_the_contract() -> None:
    assert set(PENDING) == {"rows", "parts"}
    assert set(PENDING["rows"]) <= set(ROWS)
    assert set(PENDING["parts"]) <= set(ROWS) - set(PENDING["rows"])  # the rest of such a row is shown
    reasons = [*PENDING["rows"].values(), *PENDING["parts"].values()]
    assert all(isinstance(reason, str) and 5 < len(reason) < 100 for reason in reasons)


def test_what_is_pending_only_shrinks() -> None:
    """Whoever builds a row takes it out, and lowers the figure."""
    assert (len(PENDING["rows"]), len(PENDING["parts"])) == (PENDING_ROWS_MAX, PENDING_PARTS_MAX)


def test_the_rows_are_the_contracts() -> None:
    """Where the contract itself is at hand."""
    if not CONTRACT.exists():
        pytest.skip("the contract is not on this machine")
    lines = CONTRACT.read_text("utf-8").splitlines()
    firsts = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    sections = [line.split()[1].rstrip(".") for line in lines if line.startswith("## ")]
    numbered = [first for first in firsts if first[:1].isdigit()]
    bare = [section for section in sections if not any(row.startswith(f"{section}.") for row in numbered)]
    assert numbered + bare == ROWS
