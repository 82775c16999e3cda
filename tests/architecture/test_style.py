"""The style rules of docs/architecture.md, as tests: ranks, cycles, lengths, names, imports, docstrings."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "faregate"

# A folder may import its own files and folders of a lower rank. The composition root and the command line stand above.
RANKS = {
    "core": 0,
    "telemetry": 1,
    "wire": 1,
    "settings_source": 0,
    "settings_prices": 1,
    "settings_reader": 1,
    "settings": 2,
    "dialects": 2,
    "simulator": 2,
    "providers": 3,
    "stores": 4,
    "ledger": 5,
    "flow": 6,
    "edge": 7,
    "demo": 7,
    "starting": 7,
    "sealed": 7,
    "gauges": 8,
    "revisions": 7,
    "workers": 8,
    "app": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 0,
}
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
LONG_FILES = {
    "wire/connection.py": "one state machine; what could leave it, reading and the two sides of an exchange, has left",
}
LATE_IMPORTS = {"sealed.py", "cli/__init__.py", "providers/google_credentials.py"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "service"}

FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in FILES}


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def place(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def package_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(SOURCE).parent.parts


def imported_modules(path: Path) -> Iterator[tuple[tuple[str, ...], bool]]:
    """(module inside faregate, whether it is needed only for types) of each import of a file."""
    modules = {module_of(other) for other in FILES}
    for_types = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for_types.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            package = package_of(path)
            start = package[: len(package) - node.level + 1]
            target = (*start, *(node.module or "").split(".")) if node.module else start
        elif (node.module or "").split(".")[0] == "faregate":
            target = tuple((node.module or "").split(".")[1:])
        else:
            continue
        for alias in node.names:
            deeper = (*target, alias.name)
            yield (deeper if deeper in modules else target), id(node) in for_types


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_imports_go_down_the_ranks() -> None:
    wrong = []
    for path in FILES:
        for target, _ in imported_modules(path):
            here, there = place(path), target[0] if target else "__init__"
            if here != there and RANKS[there] >= RANKS[here]:
                wrong.append(f"{relative(path)} ({RANKS[here]}) imports {'.'.join(target)} ({RANKS[there]})")
    assert not wrong, "\n".join(wrong)


def test_every_folder_has_a_rank() -> None:
    assert {place(path) for path in FILES} <= set(RANKS)


def test_no_import_cycles() -> None:
    graph = {
        module_of(path): {target for target, for_types in imported_modules(path) if not for_types} for path in FILES
    }
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], trail: tuple[tuple[str, ...], ...]) -> None:
        assert module not in trail, "cycle: " + " -> ".join(".".join(step) for step in (*trail, module))
        if module in done:
            return
        for target in graph.get(module, set()) - {module}:
            visit(target, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_functions_are_short() -> None:
    long = [
        f"{relative(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in FILES
        for node in functions(path)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_median_function_is_reported(record_property: pytest.FixtureRequest) -> None:
    lengths = [(node.end_lineno or 0) - node.lineno + 1 for path in FILES for node in functions(path)]
    median = statistics.median(lengths)
    record_property("median_function_lines", median)  # type: ignore[operator]
    assert median <= 12, f"the median function has {median} lines"


def test_files_are_short() -> None:
    long = [
        f"{relative(path)} has {lines} lines"
        for path in FILES
        if (lines := len(path.read_text("utf-8").splitlines())) > FILE_LINES_MAX and relative(path) not in LONG_FILES
    ]
    assert not long, "\n".join(long)


def test_imports_stand_at_the_top() -> None:
    late = [
        f"{relative(path)}:{inner.lineno}"
        for path in FILES
        if relative(path) not in LATE_IMPORTS
        for node in functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not late, "\n".join(late)


def test_names_say_something() -> None:
    vague = [relative(path) for path in FILES if FORBIDDEN_NAMES & set(path.relative_to(SOURCE).with_suffix("").parts)]
    assert not vague


def test_modules_and_public_things_have_docstrings() -> None:
    bare = []
    for path, tree in TREES.items():
        if not ast.get_docstring(tree):
            bare.append(relative(path))
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                bare.append(f"{relative(path)}:{node.lineno} {node.name}")
    assert not bare, "\n".join(bare)


def test_no_provider_name_outside_providers() -> None:
    """What a provider is called is the business of providers/, the catalogue and the operator."""
    names = (
        "deepseek",
        "mistral",
        "groq",
        "together",
        "openrouter",
        "fireworks",
        "dashscope",
        "moonshot",
        "ollama",
    )
    named = []
    for path, tree in TREES.items():
        if place(path) in ("providers", "simulator"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() in names:
                named.append(f"{relative(path)}:{node.lineno} {node.value}")
    assert not named, "\n".join(named)


def test_sql_is_never_built_from_values() -> None:
    """security.md S5: no f-string, `%` or `+` in a call of execute()."""
    built = [
        f"{relative(path)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("execute", "executemany", "executescript")
        and node.args
        and isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
    ]
    assert not built, "\n".join(built)
