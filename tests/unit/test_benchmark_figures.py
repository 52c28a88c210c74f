"""What a benchmark says of a goal, and that it cannot say anything else."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks._figures import RESULTS_VARIABLE, Figure, Goal, at_least, at_most, keep, ratios
from benchmarks._programs import PROGRAMS

MODULES = sorted({f"benchmarks.{program.module or program.name}" for program in PROGRAMS})


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (at_least(0.85), 0.85, "holds"),
        (at_least(0.85), 0.8499, "short"),
        (at_least(0.85), 20.0, "holds"),
        (at_most(1.05), 1.05, "holds"),
        (at_most(1.05), 1.0501, "short"),
        (at_most(0.1), -0.1, "holds"),
        (at_least(1.0), math.nan, "short"),
        (at_most(1.0), math.nan, "short"),
        (None, 1.0, None),
    ],
)
def test_the_verdict_is_the_medians(goal: Goal | None, value: float, verdict: str | None) -> None:
    """A goal holds on its own side, the bound included, and what is no number falls short."""
    assert Figure.of("x", [value], goal=goal).verdict == verdict


def test_a_spread_that_reaches_the_goal_is_not_enough() -> None:
    """The quartiles are shown and do not judge."""
    figure = Figure.of("x", [0.5, 0.9, 0.99, 1.2, 1.4], goal=at_least(1.0))
    assert figure.low < 1.0 < figure.high == 1.2
    assert figure.verdict == "short"
    assert str(figure) == "x: 0.990 [0.900 to 1.20], goal ≥ 1: short"


def test_what_is_kept_reads_back_and_is_judged_anew() -> None:
    """A verdict that somebody wrote into a file by hand is not believed."""
    figure = Figure.of("x", [1.0, 2.0, 3.0], "ms", at_most(1.0))
    record = json.loads(json.dumps(figure.record()))
    assert Figure.parse({**record, "verdict": "holds"}) == figure
    assert Figure.parse(record).verdict == "short"


def test_pairs_are_of_one_round() -> None:
    """Each ratio is of two neighbours, and a pair that lacks one is an error."""
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_a_program_writes_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's folder comes before the committed one, so that a quick run replaces no figures."""
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path / "here"))
    kept = keep("made_up", {"more": [1]}, [Figure.of("x", [1.0])])
    assert kept == tmp_path / "here" / "made_up.json"
    assert json.loads(kept.read_text())["figures"][0]["name"] == "x"
    assert json.loads(kept.read_text())["more"] == [1]


@pytest.mark.parametrize("module", MODULES)
def test_every_goal_has_a_direction(module: str) -> None:
    """A program's goals are in one place and say whether more or less is better."""
    goals = getattr(import_module(module), "GOALS", {})
    assert all(isinstance(goal, Goal) and goal.direction in ("at least", "at most") for goal in goals.values())


def test_nearly_every_program_has_a_goal() -> None:
    """What has none is there for comparison, and is named here."""
    without = {module.partition(".")[2] for module in MODULES if not hasattr(import_module(module), "GOALS")}
    assert without == {"api_load", "slow_clients", "postgres_drivers"}
