"""The runner of all benchmarks: what it makes of programs that run, fail, hang or are left out."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from benchmarks import __main__ as runner
from benchmarks import _one_program
from benchmarks._charts import draw
from benchmarks._figures import Figure, at_least, at_most
from benchmarks._one_program import Outcome, left_out, run
from benchmarks._programs import PROGRAMS, Program
from benchmarks._summary import table, write

GOOD = """
from benchmarks._figures import Figure, at_least, keep
import sys
keep("made_up", {"arguments": sys.argv[1:]}, [Figure.of("a ÷ b", [0.4, 0.5, 0.6], goal=at_least(1.0))])
"""
HUNG = """
import pathlib, sys, time
try:
    time.sleep(60)
finally:
    pathlib.Path(sys.argv[1]).write_text("servers stopped")
"""
CARELESS = """
import pathlib, subprocess, sys, time
servers = [subprocess.Popen(["sleep", "60"])]
if sys.argv[1] == "hangs":
    servers.append(subprocess.Popen(["sleep", "60"], start_new_session=True))
pathlib.Path(sys.argv[2]).write_text(" ".join(str(server.pid) for server in servers))
while sys.argv[1] == "hangs":
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""
OUTCOMES = [
    Outcome(
        name="one",
        said="ran",
        figures=(
            Figure.of("fast ÷ slow", [1.9, 2.0, 2.1], goal=at_least(1.5)),
            Figure.of("ours ÷ theirs", [0.7, 0.8, 0.9], goal=at_least(1.0)),
            Figure.of("Ringback, 64 connections", [5_000.0, 5_100.0], "events/s"),
        ),
    ),
    Outcome(name="ring_latency", said="ran", figures=(Figure.of("ringback: x", [-0.1, 0.2], "s", at_most(0.1)),)),
    Outcome(name="two", said="failed: exit code 1"),
    left_out("three"),
]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Make a module of some text and return its name."""

    def make(text: str) -> str:
        (tmp_path / "made_up_program.py").write_text(text, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(runner.__file__).parents[1]}")
        return "made_up_program"

    return make


def test_a_program_that_runs_gives_its_figures(program: Callable[[str], str], tmp_path: Path) -> None:
    """The figures are the program's, and a short one is no failure."""
    outcome = run("made_up", [program(GOOD), "--rounds", "3"], limit=60, results=tmp_path)
    assert (outcome.said, outcome.failed) == ("ran", False)
    assert [(figure.name, figure.median, figure.verdict) for figure in outcome.figures] == [("a ÷ b", 0.5, "short")]
    assert json.loads((tmp_path / "made_up.json").read_text())["arguments"] == ["--rounds", "3"]


@pytest.mark.parametrize(
    ("text", "said"), [("raise SystemExit(3)", "failed: exit code 3"), ("pass", "failed: no figures")]
)
def test_a_program_that_fails_is_said_to_have_failed(
    program: Callable[[str], str], tmp_path: Path, text: str, said: str
) -> None:
    """A crash, and an end without figures, are failures."""
    outcome = run("made_up", [program(text)], limit=60, results=tmp_path)
    assert outcome.failed
    assert outcome.said.startswith(said)


def test_a_program_that_hangs_is_stopped(program: Callable[[str], str], tmp_path: Path) -> None:
    """At its limit a program is asked to end, so that it can stop its servers."""
    told = tmp_path / "told"
    outcome = run("made_up", [program(HUNG), str(told)], limit=5, results=tmp_path)
    assert outcome.said == "failed: not done after 5 s"
    assert outcome.seconds < 30
    assert told.read_text() == "servers stopped"


@pytest.mark.parametrize("how", ["hangs", "ends"])
def test_what_a_program_leaves_behind_is_killed(
    program: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """An Airflow must not go on where a program cannot be ended in peace, or does not look after it."""
    monkeypatch.setattr(_one_program, "_LEAVE_SECONDS", 0.5)
    pids = tmp_path / "pids"
    run("made_up", [program(CARELESS), how, str(pids)], limit=5, results=tmp_path)
    servers = [int(pid) for pid in pids.read_text().split()]
    assert len(servers) == (2 if how == "hangs" else 1)
    deadline = time.monotonic() + 10
    while any(goes_on(pid) for pid in servers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(goes_on(pid) for pid in servers)


def goes_on(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_table_hides_nothing() -> None:
    """Short goals, failures and what was left out have rows of their own."""
    console = Console(file=io.StringIO(), width=150)
    console.print(table(OUTCOMES))
    assert isinstance(console.file, io.StringIO)
    rows = [re.sub(r"\s+", " ", line.strip("│ ")) for line in console.file.getvalue().splitlines()]
    assert "fast ÷ slow │ 2.00 │ 1.95 to 2.05 │ 3 │ ≥ 1.5 │ holds" in rows
    assert "ours ÷ theirs │ 0.800 │ 0.750 to 0.850 │ 3 │ ≥ 1 │ short" in rows
    assert any(row.startswith("two: failed: exit code 1 │") and row.endswith("│ failed") for row in rows)
    assert any(row.startswith("three: not in the quick version") for row in rows)


def test_the_json_says_the_same(tmp_path: Path) -> None:
    """Every program and figure is in it, with the machine it was measured on and no name of it."""
    write(tmp_path / "latest.json", OUTCOMES, quick=True)
    kept = json.loads((tmp_path / "latest.json").read_text())
    assert [program["outcome"] for program in kept["programs"]] == [outcome.said for outcome in OUTCOMES]
    assert [figure["verdict"] for figure in kept["programs"][0]["figures"]] == ["holds", "short", None]
    assert kept["quick"] is True
    assert set(kept["machine"]) == {"cores", "python", "airflow", "kernel"}


def test_a_chart_depends_on_nothing_but_its_figures(tmp_path: Path) -> None:
    """Drawn twice it has the same bytes, so that a new run changes only what was measured."""
    first, second = (draw(OUTCOMES, tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["goals.svg", "latency.svg", "throughput.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert ["ours", "theirs"][0] in first[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(("second", "code"), [("ran", 0), ("failed: exit code 1", 1)])
def test_the_exit_code_says_whether_all_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, code: int
) -> None:
    """A failed program is told by the exit code, a short goal is not; the quick version leaves committed figures."""

    def made_up(name: str, command: list[str], *, limit: float, results: Path) -> Outcome:
        (results / f"{name}.json").write_text("{}", encoding="utf-8")
        return Outcome(name=name, said=second if name == "two" else "ran", figures=OUTCOMES[0].figures)

    programs = (Program(name="one", quick=()), Program(name="two", quick=()), Program(name="slow"))
    monkeypatch.setattr(runner, "PROGRAMS", programs)
    monkeypatch.setattr(runner, "run", made_up)
    monkeypatch.setattr(runner, "_QUICK", tmp_path)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "not here")
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick"])
    assert runner.main() == code
    outcomes = [program["outcome"] for program in json.loads((tmp_path / "latest.json").read_text())["programs"]]
    assert outcomes == ["ran", second, "not in the quick version"]
    assert (tmp_path / "two.json").exists() is (code == 0)
    assert not (tmp_path / "not here").exists()


def test_names_of_programs_are_their_own() -> None:
    """No two programs write the same results."""
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)
