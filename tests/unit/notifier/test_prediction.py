"""Predicting a run's state, compared with Airflow's own rule."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.state import State, TaskInstanceState
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringback_notifier._prediction import TaskInstance, TaskShape, effective_leaves, predict_state

OWN = "ringback_notify"


class FakeDag:
    """What Airflow's rule looks at, without a DAG."""

    def __init__(self, shapes: Mapping[str, TaskShape]) -> None:
        self.tasks = [FakeTask(task_id, shape, self) for task_id, shape in shapes.items()]

    def get_task(self, task_id: str) -> FakeTask:
        return next(task for task in self.tasks if task.task_id == task_id)


class FakeTask:
    def __init__(self, task_id: str, shape: TaskShape, dag: FakeDag) -> None:
        self.task_id = task_id
        self.downstream_task_ids = set(shape.downstream)
        self.is_teardown = shape.is_teardown
        self.on_failure_fail_dagrun = shape.on_failure_fail_dagrun
        self._dag = dag

    @property
    def downstream_list(self) -> list[FakeTask]:
        return [self._dag.get_task(task_id) for task_id in self.downstream_task_ids]


class FakeInstance:
    def __init__(self, instance: TaskInstance) -> None:
        self.task_id = instance.task_id
        self.state = None if instance.state is None else TaskInstanceState(instance.state)


def airflows_leaves(shapes: Mapping[str, TaskShape]) -> frozenset[str]:
    """Return the leaves by Airflow's own code."""
    everybody = [FakeInstance(TaskInstance(task_id=task_id, state="success")) for task_id in shapes]
    chosen = DagRun._tis_for_dagrun_state(None, dag=FakeDag(shapes), tis=everybody)
    return frozenset(instance.task_id for instance in chosen)


def airflows_state(shapes: Mapping[str, TaskShape], instances: list[TaskInstance]) -> str:
    """Return the state by Airflow's own code, as ``DagRun.update_state`` applies it when nothing is unfinished."""
    chosen = DagRun._tis_for_dagrun_state(None, dag=FakeDag(shapes), tis=[FakeInstance(ti) for ti in instances])
    return "failed" if any(ti.state in State.failed_states for ti in chosen) else "success"


def with_own(shapes: Mapping[str, TaskShape]) -> dict[str, TaskShape]:
    """Add the final task as ``notify_completion`` does: a teardown behind every task without a downstream."""
    wired = {
        task_id: shape
        if shape.downstream
        else TaskShape(
            downstream=frozenset({OWN}),
            is_teardown=shape.is_teardown,
            on_failure_fail_dagrun=shape.on_failure_fail_dagrun,
        )
        for task_id, shape in shapes.items()
    }
    return {**wired, OWN: TaskShape(downstream=frozenset(), is_teardown=True)}


def graph(text: str, *, teardowns: str = "", deciding: str = "") -> dict[str, TaskShape]:
    """Read ``a>b c>b``; ``deciding`` are teardowns with ``on_failure_fail_dagrun``."""
    downstream: dict[str, set[str]] = {}
    for chain in text.split():
        names = chain.split(">")
        for name in names:
            downstream.setdefault(name, set())
        for up, down in itertools.pairwise(names):
            downstream[up].add(down)
    return {
        name: TaskShape(
            downstream=frozenset(downs),
            is_teardown=name in (teardowns + " " + deciding).split(),
            on_failure_fail_dagrun=name in deciding.split(),
        )
        for name, downs in downstream.items()
    }


def states(text: str) -> list[TaskInstance]:
    """Read ``a=success m[0]=failed``."""
    instances = []
    for part in text.split():
        name, _, state = part.partition("=")
        task_id, _, index = name.rstrip("]").partition("[")
        instances.append(TaskInstance(task_id=task_id, map_index=int(index) if index else -1, state=state))
    return instances


@dataclass(frozen=True)
class Shape:
    name: str
    graph: str
    states: str
    ends: str
    options: dict[str, str] = field(default_factory=dict)


S, F, U, K = "success", "failed", "upstream_failed", "skipped"
SHAPES = [
    Shape("no task at all", "", "", S),
    Shape("one task succeeds", "a", f"a={S}", S),
    Shape("one task fails", "a", f"a={F}", F),
    Shape("one task is skipped", "a", f"a={K}", S),
    Shape("a chain succeeds", "a>b>c", f"a={S} b={S} c={S}", S),
    Shape("the head of a chain fails", "a>b>c", f"a={F} b={U} c={U}", F),
    Shape("the middle of a chain fails", "a>b>c", f"a={S} b={F} c={U}", F),
    Shape("the end of a chain fails", "a>b>c", f"a={S} b={S} c={F}", F),
    Shape("a chain is skipped from the head on", "a>b>c", f"a={S} b={K} c={K}", S),
    Shape("everything is skipped", "a>b", f"a={K} b={K}", S),
    Shape("one of two leaves fails", "a>b a>c", f"a={S} b={S} c={F}", F),
    Shape("one of two leaves is skipped", "a>b a>c", f"a={S} b={S} c={K}", S),
    Shape("one branch fails before the join", "a>b>d a>c>d", f"a={S} b={F} c={S} d={U}", F),
    Shape("a failure before an all_done leaf", "a>b", f"a={F} b={S}", S),
    Shape("an all_done leaf fails", "a>b", f"a={S} b={F}", F),
    Shape("a failure before a one_success join", "a>c b>c", f"a={F} b={S} c={S}", S),
    Shape("a failure behind which a leaf was skipped", "a>b", f"a={F} b={K}", S),
    Shape("an independent task fails", "a>b c", f"a={S} b={S} c={F}", F),
    Shape("a mapped leaf succeeds", "a>m", f"a={S} m[0]={S} m[1]={S}", S),
    Shape("a mapped leaf fails in part", "a>m", f"a={S} m[0]={S} m[1]={F} m[2]={S}", F),
    Shape("a mapped leaf is skipped in part", "a>m", f"a={S} m[0]={S} m[1]={K}", S),
    Shape("a mapping over nothing", "a>m", f"a={S} m={K}", S),
    Shape("a mapping whose source failed", "a>m", f"a={F} m={U}", F),
    Shape("a mapped leaf with a removed index", "a>m", f"a={S} m[0]={S} m[1]=removed", S),
    Shape("every index of a leaf was removed", "a>m", f"a={S} m[0]=removed", S),
    Shape("a mapped task fails in part before a leaf", "m>b", f"m[0]={S} m[1]={F} b={U}", F),
    Shape("a group of two leaves, one fails", "a>g.b a>g.c", f"a={S} g.b={S} g.c={F}", F),
    Shape("a nested group succeeds", "a>g.h.b>g.c", f"a={S} g.h.b={S} g.c={S}", S),
    Shape("a mapped group fails in part", "a>g.b>g.c", f"a={S} g.b[0]={S} g.c[0]={S} g.b[1]={F} g.c[1]={U}", F),
    Shape("a setup fails", "s>w>t s>t", f"s={F} w={U} t={U}", F, {"teardowns": "t"}),
    Shape("the work between setup and teardown fails", "s>w>t s>t", f"s={S} w={F} t={S}", F, {"teardowns": "t"}),
    Shape("a teardown fails", "s>w>t s>t", f"s={S} w={S} t={F}", S, {"teardowns": "t"}),
    Shape("work and teardown fail", "s>w>t s>t", f"s={S} w={F} t={F}", F, {"teardowns": "t"}),
    Shape("a deciding teardown fails", "s>w>t s>t", f"s={S} w={S} t={F}", F, {"deciding": "t"}),
    Shape("a deciding teardown hides failed work", "s>w>t s>t", f"s={S} w={F} t={S}", S, {"deciding": "t"}),
    Shape(
        "a deciding and an ordinary teardown", "w>t w>u", f"w={F} t={S} u={S}", S, {"deciding": "t", "teardowns": "u"}
    ),
    Shape(
        "two setup and teardown pairs in a row",
        "s>w>t s>t w>v>x>y v>y",
        f"s={S} w={S} t={F} v={S} x={F} y={S}",
        F,
        {"teardowns": "t y"},
    ),
    Shape("a teardown behind a teardown", "w>t>u", f"w={S} t={F} u={F}", S, {"teardowns": "t u"}),
    Shape("work behind a teardown fails", "t>w", f"t={S} w={F}", F, {"teardowns": "t"}),
    Shape("only teardowns, all succeed", "t u", f"t={S} u={S}", S, {"teardowns": "t u"}),
    Shape("only teardowns, one fails, and ours is the one that counts", "t>u", f"t={S} u={F}", S, {"teardowns": "t u"}),
    Shape("only a deciding teardown, which fails", "t", f"t={F}", F, {"deciding": "t"}),
]


def test_the_table_is_large() -> None:
    """At least the shapes that were once measured on a real scheduler."""
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 31


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("own_ends", ["success", "running"])
def test_the_state_is_predicted(shape: Shape, own_ends: str) -> None:
    """The final task says what Airflow will say when the final task has done its work."""
    shapes, instances = with_own(graph(shape.graph, **shape.options)), states(shape.states)
    own = TaskInstance(task_id=OWN, state=own_ends)
    assert predict_state(shapes, instances, own_task_id=OWN) == shape.ends
    assert predict_state(shapes, [*instances, own], own_task_id=OWN) == shape.ends
    assert airflows_state(shapes, [*instances, own]) == shape.ends


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, TaskShape]:
    names = [f"t{n}" for n in range(draw(st.integers(0, 7)))]
    drawn = {}
    for position, name in enumerate(names):
        later = names[position + 1 :]
        is_teardown = draw(st.booleans())
        drawn[name] = TaskShape(
            downstream=frozenset(draw(st.lists(st.sampled_from(later), max_size=3))) if later else frozenset(),
            is_teardown=is_teardown,
            on_failure_fail_dagrun=is_teardown and draw(st.booleans()),
        )
    return drawn


STATES = st.sampled_from(["success", "failed", "upstream_failed", "skipped", "removed"])


@settings(max_examples=300)
@given(graphs())
def test_the_leaves_are_airflows(shapes: dict[str, TaskShape]) -> None:
    """In any graph, with and without our own task."""
    assert effective_leaves(shapes) == airflows_leaves(shapes)
    assert effective_leaves(with_own(shapes)) == airflows_leaves(with_own(shapes))


@settings(max_examples=300)
@given(st.data(), graphs())
@example(None, graph("t", teardowns="t"))
def test_the_prediction_is_airflows_verdict(data: Any, shapes: dict[str, TaskShape]) -> None:
    """Whatever the graph and the states, mapped or not, and even if our own task fails where that does not count."""
    instances = [
        TaskInstance(task_id=task_id, map_index=index, state=data.draw(STATES) if data else "failed")
        for task_id in shapes
        for index in (data.draw(st.sampled_from([[-1], [0], [0, 1, 2]])) if data else [-1])
    ]
    wired = with_own(shapes)
    own_states = ["success"] if OWN in effective_leaves(wired) else ["success", "failed"]
    predicted = predict_state(wired, instances, own_task_id=OWN)
    for own_state in own_states:
        assert predicted == airflows_state(wired, [*instances, TaskInstance(task_id=OWN, state=own_state)])


@given(graphs())
def test_our_task_counts_only_where_all_others_are_teardowns(shapes: dict[str, TaskShape]) -> None:
    """That is the one case in which failing would fail the run, and the operator does not raise in it."""
    counts = OWN in effective_leaves(with_own(shapes))
    assert counts == all(shape.ignorable for shape in shapes.values())


@given(graphs())
def test_our_task_changes_no_other_leaf(shapes: dict[str, TaskShape]) -> None:
    """Where there is work, the tasks that decide are the same with and without us."""
    if not all(shape.ignorable for shape in shapes.values()):
        assert effective_leaves(with_own(shapes)) == effective_leaves(shapes)


def test_a_downstream_that_is_unknown_is_ignored() -> None:
    """A shape may name a task that is not there."""
    assert effective_leaves({"a": TaskShape(downstream=frozenset({"gone"}))}) == {"a"}
    assert effective_leaves({"a": TaskShape(downstream=frozenset({"gone"}), is_teardown=True)}) == {"a"}


@pytest.mark.parametrize("state", [*TaskInstanceState, None])
def test_failed_means_what_airflow_means(state: TaskInstanceState | None) -> None:
    """No state is counted as a failure that Airflow does not count, and none is missed."""
    ours = TaskInstance(task_id="a", state=None if state is None else state.value).failed
    assert ours == (state in State.failed_states)
