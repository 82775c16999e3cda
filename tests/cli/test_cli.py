"""The command line as a user meets it: a process, its output, its exit code."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"sk-fg-[0-9A-Za-z]{12}-[0-9A-Za-z]{49}")


class Shell:
    """A folder to run `faregate` in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
        }

    def run(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "faregate", *words],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *words: str, **environment: str) -> str:
        """What a command that must succeed prints."""
        done = self.run(*words, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> list[dict[str, object]]:
        """The same, as JSON."""
        return json.loads(self.ok(*words, "--json"))

    def fails(self, *words: str, code: int = 1, **environment: str) -> str:
        """The one line that a command which must fail prints."""
        done = self.run(*words, **environment)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
        return done.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def project(shell: Shell) -> Shell:
    shell.ok("orgs", "create", "acme")
    shell.ok("projects", "create", "web", "--org", "acme")
    return shell


def test_help_answers_at_once(shell: Shell, record_property: pytest.FixtureRequest) -> None:
    took_ms = []
    for words in (["--help"], ["keys", "--help"], ["up", "--help"]):
        best_s = 9.0
        for _ in range(3):
            started = time.perf_counter()
            assert "usage: faregate" in shell.ok(*words)
            best_s = min(best_s, time.perf_counter() - started)
        took_ms.append(round(best_s * 1000))
        assert best_s < 1.0
    record_property("help_ms", took_ms)  # type: ignore[operator]
    text = shell.ok("--help")
    for noun in (
        "up",
        "serve",
        "orgs",
        "projects",
        "keys",
        "prices",
        "usage",
        "models",
        "config",
        "simulator",
        "bench",
    ):
        assert re.search(rf"^ +{noun}\b", text, re.MULTILINE)
    assert re.fullmatch(r"faregate \d+\.\d+\.\d+\n", shell.ok("--version"))
    assert not list(shell.folder.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["keys"],
        ["keys", "create", "k"],
        ["keys", "rotate", "x", "--grace", "8d"],
        ["keys", "create", "k", "--project", "p", "--expires", "soon"],
        ["up", "--port", "x"],
        ["up", "--port", "65536"],
        ["up", "--colour"],
    ],
)
def test_what_cannot_be_understood_is_exit_code_2(shell: Shell, words: list[str]) -> None:
    assert "--help" in shell.fails(*words, code=2)
    assert not list(shell.folder.iterdir())


def test_organisations_and_projects(shell: Shell) -> None:
    (acme,) = shell.json("orgs", "create", "acme")
    (web,) = shell.json("projects", "create", "web", "--org", "acme")
    assert web["organisation_id"] == acme["id"]
    assert shell.json("orgs", "disable", "acme")[0]["disabled"] is True
    assert "disabled" in shell.ok("orgs", "list")
    assert shell.json("orgs", "enable", str(acme["id"]))[0]["disabled"] is False
    assert shell.json("projects", "disable", "web")[0]["disabled"] is True
    assert shell.json("projects", "list", "--org", "acme") == shell.json("projects", "list")
    assert "acme" in shell.fails("orgs", "create", "acme")
    assert "nobody" in shell.fails("projects", "create", "x", "--org", "nobody")


@pytest.mark.contract("2.2")
def test_a_key_is_printed_once_and_alone(project: Shell) -> None:
    done = project.run("keys", "create", "k", "--project", "web")
    assert KEY.fullmatch(done.stdout.strip())
    key_id = done.stdout[6:18]
    assert key_id in done.stderr and done.stdout.strip() not in done.stderr
    (listed,) = project.json("keys", "list")
    assert listed["id"] == key_id
    rotated = project.run("keys", "rotate", key_id, "--grace", "24h").stdout.strip()
    assert KEY.fullmatch(rotated) and rotated[6:18] == key_id and rotated != done.stdout.strip()
    assert not KEY.search(project.ok("keys", "list") + project.ok("keys", "list", "--json"))
    assert "revoked" in project.ok("keys", "revoke", key_id)
    assert "revoked" in project.fails("keys", "rotate", key_id)
    assert "no key" in project.fails("keys", "revoke", "nothing")


def test_what_a_key_may_do(project: Shell) -> None:
    limits = ["--expires", "2099-01-31", "--model", "a", "--model", "b", "--address", "10.0.0.0/8"]
    made = json.loads(project.ok("keys", "create", "k", "--project", "web", "--json", *limits))
    assert KEY.fullmatch(made["key"])
    assert (made["allowed_models"], made["allowed_addresses"]) == (["a", "b"], ["10.0.0.0/8"])
    assert made["expires_at"] == 4073500800.0
    text = project.ok("keys", "list", "--project", "web")
    assert "2099-01-31" in text and "a,b" in text and "10.0.0.0/8" in text
    assert "network" in project.fails("keys", "create", "k", "--project", "web", "--address", "10.0.0.300")
    assert "future" in project.fails("keys", "create", "k", "--project", "web", "--expires", "2001-01-01")


@pytest.mark.contract("2.5")
def test_every_move_is_on_record_with_who_made_it(project: Shell) -> None:
    project.ok("keys", "create", "k", "--project", "web")
    connection = sqlite3.connect(project.folder / "data" / "faregate.db")
    rows = connection.execute("SELECT actor, action FROM audit ORDER BY sequence").fetchall()
    connection.close()
    assert [action for _, action in rows] == ["organisation.create", "project.create", "key.create"]
    assert all(actor.startswith("cli:") and len(actor) > 4 for actor, _ in rows)


def test_where_settings_and_data_are(shell: Shell) -> None:
    elsewhere = shell.folder / "etc"
    elsewhere.mkdir()
    settings = elsewhere / "my.toml"
    settings.write_text("[keys]\nprefix = 'al-'\n")
    shell.ok("orgs", "create", "acme", "--config", str(settings))
    assert (elsewhere / "data" / "faregate.db").exists()
    shell.ok("projects", "create", "web", "--org", "acme", FAREGATE_CONFIG=str(settings))
    key = shell.ok("keys", "create", "k", "--project", "web", FAREGATE_CONFIG=str(settings))
    assert key.startswith("al-")
    shell.ok("orgs", "list", FAREGATE_DATA="one")
    shell.ok("orgs", "list", "--data", "two", FAREGATE_DATA="one")
    assert (shell.folder / "one").is_dir() and (shell.folder / "two").is_dir()
    assert not (shell.folder / "data").exists()
    (shell.folder / "faregate.toml").write_text("nonsense = 1\n")
    assert "faregate.toml:1: nonsense: unknown key" in shell.fails("orgs", "list")
    assert "none.toml" in shell.fails("orgs", "list", "--config", "none.toml")


def test_a_pepper_of_another_world_is_noticed(project: Shell) -> None:
    (project.folder / "data" / "pepper").unlink()
    assert "pepper" in project.fails("keys", "create", "k", "--project", "web")


def test_what_would_be_served(shell: Shell) -> None:
    assert "simulator" in shell.ok("config", "check")
    local = "[providers.local]\nbase_url = 'http://127.0.0.1:9/v1'\nmodels = ['tiny']\n"
    settings = local + "price = { input = '0' }\n[aliases]\nt = 'tiny'\n"
    (shell.folder / "faregate.toml").write_text(settings)
    report = json.loads(shell.ok("config", "check", "--json"))
    assert report["models"] == 1 and report["warnings"] == [] and not report["simulated"]
    assert [provider["name"] for provider in report["providers"]] == ["local"]
    plans = "[plans.p]\nmodels = ['tiny', 't', 'tinny']\nregions = ['default', 'mars']\n"
    (shell.folder / "faregate.toml").write_text(settings + plans)
    assert json.loads(shell.ok("config", "check", "--json"))["warnings"] == [
        "plan p allows tinny, which nobody serves",
        "plan p allows region mars, where nobody serves anything",
    ]
    (shell.folder / "small.toml").write_text("[models]\nonly = ['small', 'smal']\n")
    small = settings.replace("['tiny']", "['tiny', 'small']") + "[plans.p]\nmodels = ['tiny']\n"
    (shell.folder / "faregate.toml").write_text(f"house = 'small.toml'\n{small}")
    report = json.loads(shell.ok("config", "check", "--json"))
    assert (report["models"], report["providers"][0]["models"]) == (1, 2)
    assert report["warnings"] == ["house small has the model smal, which nobody serves"]
    (shell.folder / "faregate.toml").write_text(settings + plans)
    (model,) = shell.json("models")
    assert model["id"] == "tiny"
    assert "local:tiny" in shell.ok("models")
    secret = "sk-canary-0123456789"
    both = shell.run("config", "check", OPENAI_API_KEY=secret)
    assert "openai" in both.stdout and "canary" not in both.stdout + both.stderr
    (shell.folder / "faregate.toml").write_text(settings + "[[routes]]\nmodel = 'x'\nprovider = 'nobody'\n")
    assert "faregate.toml:9: routes[0].provider" in shell.fails("config", "check")
    (shell.folder / "faregate.toml").write_text("[server]\ntls_certificate = 'no.pem'\ntls_key = 'no.pem'\n")
    assert "faregate.toml:2: server.tls_certificate" in shell.fails("config", "check")
    assert not (shell.folder / "data").exists()


def test_models_without_a_price_are_told(shell: Shell) -> None:
    """All their calls are refused, which is to be known before the first of them."""
    names = [f"own-{number}" for number in range(7)]
    local = f"[providers.local]\nbase_url = 'http://127.0.0.1:9/v1'\nmodels = {names}\n"
    for more, said in (
        ("", "refused: own-0, own-1, own-2, own-3, own-4, ...;"),
        ("price = { input = '0', output = '0' }\n", ""),
        ("[prices]\ndefault = { input = '1', output = '2' }\n", ""),
        ("".join(f"[models.{name}]\nprice = {{ input = '1' }}\n" for name in names[1:]), "refused: own-0;"),
    ):
        (shell.folder / "faregate.toml").write_text(local + more)
        told = shell.ok("config", "check")
        assert said in told and ("no price" in told) == bool(said), told


def test_serving_the_simulator_is_said(shell: Shell) -> None:
    """A key that did not reach the environment is noticed at the start, not by its answers."""
    with subprocess.Popen(
        [sys.executable, "-m", "faregate", "serve", "--port", "0"],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert "simulator" in process.stdout.readline()
        finally:
            process.terminate()


def test_a_model_that_nobody_serves_is_noted(project: Shell) -> None:
    """A name that was misspelt, or two in one, would make a key that may call nothing."""
    words = ("keys", "create", "k", "--project", "web", "--model")
    for name in ("gpt-4oo", "gpt-4o,gpt-4o-mini"):
        done = project.run(*words, name)
        assert KEY.match(done.stdout) and f"nobody serves a model {name} here" in done.stderr
        assert name in project.run("plans", "create", f"p-{len(name)}", "--model", name).stderr
    assert "nobody" not in project.run(*words, "openai/gpt-4o").stderr
    discovering = "[providers.local]\nbase_url = 'http://127.0.0.1:9/v1'\ndiscover = true\n"
    (project.folder / "faregate.toml").write_text(discovering)
    assert "nobody" not in project.run(*words, "tiny").stderr  # it is asked only when the gateway runs


def test_what_is_not_for_people_is_not_offered(shell: Shell) -> None:
    assert "worker" not in shell.fails("nonsense", code=2)


def test_the_shipped_example_is_good(shell: Shell) -> None:
    assert "the settings are good" in shell.ok("config", "check", "--config", str(ROOT / "faregate.example.toml"))


def test_a_reader_that_goes_away_is_no_failure_to_speak_of(shell: Shell) -> None:
    command = f"{sys.executable} -m faregate models | head -n 1"
    done = subprocess.run(
        command, shell=True, cwd=shell.folder, env=shell.environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_the_simulator_runs_until_it_is_told_to_stop(shell: Shell) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "faregate", "simulator", "--port", "0", "--json"],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid and str(ready["port"]) in ready["base_url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_bench_says_where_it_is(shell: Shell) -> None:
    assert "usage: python -m bench" in shell.ok("bench", "--help")


def test_a_port_that_is_taken_is_one_line(shell: Shell) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "faregate", "simulator", "--port", "0", "--json"],
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        try:
            words = ("serve", "--port", str(port))
            done = shell.run(*words, FAREGATE_LOG_LEVEL="error")
            assert done.returncode == 1 and "Traceback" not in done.stderr
            assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
        finally:
            process.terminate()
