"""Airflow's own source is searched for every place that ends a DAG run: each must have its row in the coverage matrix.

A newer Airflow may end runs in a new place, past every hook that reports them.  Then this test fails, before a user's
run ends without a word.  It reads the source only; what it cannot see is a state passed through names that say nothing.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from terminal_state_writers import AIRFLOW, WRITERS

COVERAGE = Path(__file__).parents[3] / "docs" / "coverage.md"
ELSEWHERE = {"providers", "migrations", "example_dags", "tests"}
"""Folders of the ``airflow`` package that are not its core, or only examples and history."""

RUN_MODELS = {"DagRun"}
RUN_STATES = {"DagRunState", "DagRunMutableStates"}
TERMINAL = {"success", "failed"}
LOOKS_LIKE_A_RUN = re.compile(r"^(dr|run|.*dag_?run.*)$", re.IGNORECASE)
SETS_RUN_STATES = re.compile(
    r"(?!_*(get|handle_get|notify|tis_for|transform|compute|delete|list|count)_)\w*(dag_?runs?_\w*state|state\w*_dag_?runs?)"
)
UPDATES_RUNS = re.compile(r"\bupdate\s+dag_run\b", re.IGNORECASE)


# --- the scan


def scan(root: Path) -> dict[str, list[str]]:
    """Return what each function below a folder writes: ``module:qualified.name`` → ``["FAILED", …]``, sorted."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        if ELSEWHERE & set(parts):
            continue
        source = path.read_text(encoding="utf-8")
        if "state" in source.lower() or UPDATES_RUNS.search(source):
            module = ".".join(part for part in parts if part != "__init__")
            for name, written in writes(ast.parse(source)):
                found[f"{module}:{name}"].append(written)
    return {name: sorted(written) for name, written in sorted(found.items())}


def writes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Find the writes of a terminal state, each with the qualified name of its function."""
    aliases = {
        part.asname: part.name
        for part in ast.walk(tree)
        if isinstance(part, ast.alias) and part.asname and part.name in RUN_MODELS | RUN_STATES
    }
    for part in ast.walk(tree):
        if isinstance(part, ast.Name) and part.id in aliases:
            part.id = aliases[part.id]
    yield from Scope(tree, "<module>").writes()


class Scope:
    """One function (or the module's, or a class's own statements) and what is known of its names."""

    def __init__(self, node: ast.AST, name: str, within: Scope | None = None) -> None:
        self.node, self.name, self.within = node, name, within
        self.is_run: bool = (isinstance(node, ast.ClassDef) and node.name in RUN_MODELS) or bool(
            within and within.is_run
        )
        self.own: list[ast.AST] = []
        definitions = list(self._divide(node))
        self.runs, self.states = self._names()
        self.bulk: bool = any(is_bulk(part) for part in self.own) or bool(within and within.bulk)
        prefix = f"{name}." if within else ""
        self.inner = [Scope(definition, f"{prefix}{definition.name}", self) for definition in definitions]

    def _divide(self, node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
        """Keep what is this scope's own, and return the definitions in it."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield child
            else:
                self.own.append(child)
                yield from self._divide(child)

    def _names(self) -> tuple[set[str], dict[str, list[ast.expr]]]:
        """Names that hold runs, by annotation or origin; and all that is assigned to each name."""
        runs: set[str] = set()
        values: dict[str, list[ast.expr]] = defaultdict(list)
        for part in self.own:
            if isinstance(part, ast.arg) and part.annotation and mentions(part.annotation, RUN_MODELS):
                runs.add(part.arg)
            origin: ast.expr | None = None
            targets: list[ast.expr] = []
            if isinstance(part, ast.Assign):
                origin, targets = part.value, part.targets
            elif isinstance(part, ast.AnnAssign):
                origin, targets = part.value, [part.target]
                if mentions(part.annotation, RUN_MODELS) and isinstance(part.target, ast.Name):
                    runs.add(part.target.id)
            elif isinstance(part, (ast.For, ast.AsyncFor, ast.comprehension)):
                origin, targets = part.iter, [part.target]
            elif isinstance(part, ast.NamedExpr):
                origin, targets = part.value, [part.target]
            for target in targets:
                if isinstance(target, ast.Name) and origin is not None:
                    values[target.id].append(origin)
                    if mentions(origin, RUN_MODELS):
                        runs.add(target.id)
        return runs, values

    def writes(self) -> Iterator[tuple[str, str]]:
        for part in self.own:
            for written in self._written(part):
                yield self.name, written
        for scope in self.inner:
            yield from scope.writes()

    def _written(self, part: ast.AST) -> Iterator[str]:
        if isinstance(part, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and part.value is not None:
            for target in part.targets if isinstance(part, ast.Assign) else [part.target]:
                if isinstance(target, ast.Attribute) and target.attr in ("state", "_state"):
                    yield from self._terminal(part.value, of_a_run=self._is_run(target.value))
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and UPDATES_RUNS.search(part.value):
            yield "SQL"
        elif isinstance(part, ast.Call):
            yield from self._called(part)

    def _called(self, call: ast.Call) -> Iterator[str]:
        name = last_name(call.func)
        given = [*call.args, *(word.value for word in call.keywords)]
        of_a_run = isinstance(call.func, ast.Attribute) and self._is_run(call.func.value)
        if name == "setattr" and len(given) == 3 and text(given[1]) in ("state", "_state"):
            yield from self._terminal(given[2], of_a_run=self._is_run(given[0]))
        elif name == "set_state" and given:
            yield from self._terminal(given[0], of_a_run=of_a_run)
        elif name in ("values", "update") and self.bulk:
            for value in state_values(call):
                yield from self._terminal(value, of_a_run=True)
        elif is_bulk(call) and name not in ("update", "query"):
            yield "BULK"
        elif name in RUN_MODELS or name == "create_dagrun":
            for word in call.keywords:
                if word.arg in ("state", "_state"):
                    yield from self._terminal(word.value, of_a_run=True)
        elif (name == "update_state" and of_a_run) or SETS_RUN_STATES.match(name):
            yield f"{name}()"
        else:
            # Passed on to who knows whom: only what names a terminal DagRunState itself.
            for value in given:
                yield from self._terminal(value, of_a_run=False, unknown=False)

    def _terminal(self, value: ast.expr, *, of_a_run: bool, unknown: bool = True, deep: bool = True) -> Iterator[str]:
        """Yield ``SUCCESS`` and ``FAILED`` as far as a value is seen to be that, ``?`` if it may be anything."""
        if isinstance(value, ast.IfExp):
            for branch in (value.body, value.orelse):
                yield from self._terminal(branch, of_a_run=of_a_run, unknown=unknown, deep=deep)
        elif isinstance(value, ast.BoolOp):
            for branch in value.values:
                yield from self._terminal(branch, of_a_run=of_a_run, unknown=unknown, deep=deep)
        elif isinstance(value, ast.Attribute) and value.attr in ("value", "name"):
            yield from self._terminal(value.value, of_a_run=of_a_run, unknown=unknown, deep=deep)
        elif isinstance(value, ast.Attribute) and last_name(value.value).endswith(("State", "States")):
            if value.attr.lower() in TERMINAL and (of_a_run or last_name(value.value) in RUN_STATES):
                yield value.attr.upper()
        elif isinstance(value, ast.Constant):
            if of_a_run and text(value) in TERMINAL:
                yield str(value.value).upper()
        elif isinstance(value, ast.Name) and deep and value.id in self.states:
            for assigned in self.states[value.id]:
                yield from self._terminal(assigned, of_a_run=of_a_run, unknown=unknown, deep=False)
        elif unknown and (of_a_run or self._is_run_state(value)):
            yield "?"

    def _is_run(self, value: ast.expr) -> bool:
        name = last_name(value)
        if name == "self" or name == "cls":
            return self.is_run
        return bool(LOOKS_LIKE_A_RUN.match(name)) or self._holds_run(name)

    def _holds_run(self, name: str) -> bool:
        return name in self.runs or bool(self.within and self.within._holds_run(name))

    def _is_run_state(self, value: ast.expr) -> bool:
        """Whether a name says of itself that it holds the state of a run, by its annotation or by its sound."""
        if isinstance(value, ast.Call):
            return last_name(value.func) in RUN_STATES
        name = last_name(value)
        if re.search(r"run_state", name):
            return True
        annotated = (part for part in self.own if isinstance(part, ast.arg) and part.arg == name and part.annotation)
        return any(mentions(part.annotation, RUN_STATES) for part in annotated if part.annotation)


def last_name(node: ast.AST) -> str:
    """Return ``c`` of ``a.b.c``, also of ``a.b().c()``."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def mentions(node: ast.AST, names: set[str]) -> bool:
    """Whether an expression or annotation, also one in quotes, has one of these names."""
    return any(
        (isinstance(part, ast.Name) and part.id in names)
        or (isinstance(part, ast.Attribute) and part.attr in names)
        or any(re.search(rf"\b{name}\b", text(part)) for name in names)
        for part in ast.walk(node)
    )


def is_bulk(node: ast.AST) -> bool:
    """``update(DagRun)``, ``query(DagRun)``, ``DagRun.__table__.update()``, ``bulk_…_mappings(DagRun, …)``."""
    if not isinstance(node, ast.Call):
        return False
    name, about = last_name(node.func), node.args[:1]
    if name in ("update", "query") or name.startswith("bulk_"):
        if isinstance(node.func, ast.Attribute) and "__table__" in ast.dump(node.func.value):
            about = [node.func.value]
        return any(mentions(part, RUN_MODELS) for part in about)
    # session.execute(update(DagRun), [{…}])
    return name == "execute" and len(node.args) > 1 and is_bulk(node.args[0])


def state_values(call: ast.Call) -> Iterator[ast.expr]:
    """Return what ``.values(state=…)``, ``.values({…: …})`` or ``.update({…})`` puts into a state column."""
    for word in call.keywords:
        if word.arg in ("state", "_state", None):
            yield word.value
    for argument in call.args:
        if isinstance(argument, ast.Dict):
            for key, value in zip(argument.keys, argument.values, strict=True):
                if key is None or text(key) in ("state", "_state") or last_name(key) in ("state", "_state"):
                    yield value
        elif last_name(call.func) == "values":
            yield argument


# --- the tests


def test_every_place_that_ends_a_run_is_known() -> None:
    """The installed Airflow ends runs where the recorded one did, no more and no fewer times."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    found = scan(Path(spec.origin).parent)
    assert differences(found, {name: sorted(writer.writes) for name, writer in WRITERS.items()}) == [], (
        f"Airflow {importlib.metadata.version('apache-airflow-core')} ends DAG runs elsewhere than {AIRFLOW}, the last "
        "one looked at. Read each of these places, play it in tests/acceptance/test_every_ending.py, and record it in "
        "terminal_state_writers.py."
    )


def differences(found: Mapping[str, list[str]], known: Mapping[str, list[str]]) -> list[str]:
    """Say in words what is new, gone or other than recorded."""
    said = [f"NEW {name} writes {', '.join(found[name])}" for name in found.keys() - known.keys()]
    said += [f"GONE {name}" for name in known.keys() - found.keys()]
    said += [
        f"CHANGED {name} writes {', '.join(found[name])}; known: {', '.join(known[name])}"
        for name in found.keys() & known.keys()
        if found[name] != known[name]
    ]
    return sorted(said)


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_leads_to_the_matrix(name: str) -> None:
    """It is played in rows that ``docs/coverage.md`` has, or there is a reason why it is not."""
    writer = WRITERS[name]
    titles = {line.split("|")[1].strip() for line in COVERAGE.read_text(encoding="utf-8").splitlines() if "|" in line}
    assert set(writer.rows) <= titles
    assert bool(writer.rows) != bool(writer.reason)


HEADER = "from airflow.models.dagrun import DagRun\nfrom airflow.utils.state import DagRunState, TaskInstanceState\n"

NEW_WRITERS = {
    "a method call": ("def end(dag_run):\n    dag_run.set_state(DagRunState.FAILED)", ["FAILED"]),
    "an attribute": ("def end(dr):\n    dr.state = DagRunState.SUCCESS", ["SUCCESS"]),
    "a private attribute": ("def end(thing):\n    thing._state = DagRunState.SUCCESS", ["SUCCESS"]),
    "a string": ("def end(dag_run):\n    dag_run.state = 'failed'", ["FAILED"]),
    "another enumeration": ("def end(dag_run):\n    dag_run.state = TaskInstanceState.FAILED", ["FAILED"]),
    "a value of the enumeration": ("def end(dag_run):\n    dag_run.state = DagRunState.FAILED.value", ["FAILED"]),
    "setattr": ("def end(dag_run):\n    setattr(dag_run, 'state', DagRunState.FAILED)", ["FAILED"]),
    "either of two": (
        "def end(dr, ok):\n    dr.state = DagRunState.SUCCESS if ok else DagRunState.FAILED",
        ["FAILED", "SUCCESS"],
    ),
    "by way of a name": (
        "def end(dr, ok):\n    new_state = DagRunState.RUNNING\n    if ok:\n        new_state = DagRunState.SUCCESS\n"
        "    dr.state = new_state",
        ["SUCCESS"],
    ),
    "a state that was passed in": ("def end(dag_run, state):\n    dag_run.state = state", ["?"]),
    "a run known by its annotation": ("def end(it: 'DagRun | None', what):\n    it.set_state(what)", ["?"]),
    "a run known by its origin": (
        "def end(session, what):\n    for it in session.scalars(select(DagRun)):\n        it.state = what",
        ["?"],
    ),
    "a state known by its annotation": ("def end(it, what: DagRunState):\n    it.state = what", ["?"]),
    "the model itself": (
        "class DagRun:\n    def end(self, what):\n        self._state = what",
        ["?"],
    ),
    "a bulk update": (
        "def end(session):\n    session.execute(update(DagRun).where(x).values(state=DagRunState.FAILED))",
        ["FAILED"],
    ),
    "a bulk update in steps": (
        "def end(session, what):\n    query = update(DagRun)\n    session.execute(query.values(state=what))",
        ["?"],
    ),
    "a bulk update by column": (
        "def end(session, what):\n    session.execute(update(DagRun).values({DagRun.state: what}))",
        ["?"],
    ),
    "a bulk update with anything": (
        "def end(session, what):\n    session.execute(update(DagRun).values(**what))",
        ["?"],
    ),
    "a query's update": ("def end(s):\n    s.query(DagRun).filter(x).update({'state': 'failed'})", ["FAILED"]),
    "the table's update": ("def end(s, w):\n    s.execute(DagRun.__table__.update().values(state=w))", ["?"]),
    "a list of mappings": ("def end(s, rows):\n    s.bulk_update_mappings(DagRun, rows)", ["BULK"]),
    "many parameters": ("def end(s, rows):\n    s.execute(update(DagRun), rows)", ["BULK"]),
    "under another name": (
        "from airflow.models.dagrun import DagRun as R\ndef end(s, w):\n    s.execute(update(R).values(state=w))",
        ["?"],
    ),
    "plain SQL": ("def end(s):\n    s.execute(text('UPDATE dag_run SET state = 1'))", ["SQL"]),
    "a run that is born ended": ("def end(dag):\n    dag.create_dagrun(state=DagRunState.SUCCESS)", ["SUCCESS"]),
    "passed on": ("def end(run):\n    finish(run, new_state=DagRunState.FAILED)", ["FAILED"]),
    "passed to a setter": ("def end(run):\n    set_dag_run_state_to_failed(run)", ["set_dag_run_state_to_failed()"]),
    "a decision elsewhere": ("def end(dag_run):\n    dag_run.update_state()", ["update_state()"]),
    "in a function within": ("def end(dr):\n    def now():\n        dr.state = 'failed'\n    now()", ["FAILED"]),
}


@pytest.mark.parametrize(("source", "written"), NEW_WRITERS.values(), ids=NEW_WRITERS)
def test_a_new_writer_is_found(tmp_path: Path, source: str, written: list[str]) -> None:
    """Whatever way a new place takes to end a run, the scan sees it, and the comparison says so."""
    package = tmp_path / "airflow" / "jobs"
    package.mkdir(parents=True)
    (package / "reaper.py").write_text(HEADER + source, encoding="utf-8")
    found = scan(tmp_path / "airflow")
    assert list(found.values()) == [written]
    (name,) = found
    assert re.match(r"airflow\.jobs\.reaper:(DagRun\.)?end", name)
    assert differences(found, {}) == [f"NEW {name} writes {', '.join(written)}"]


NO_WRITERS = {
    "a run goes on": "def on(dag_run):\n    dag_run.state = DagRunState.RUNNING",
    "a task ends": "def end(ti, state):\n    ti.set_state(state)\n    ti.state = TaskInstanceState.FAILED",
    "a question": "def ended(dag_run):\n    return dag_run.state == DagRunState.FAILED",
    "a filter": "def ended(s):\n    return s.scalars(select(DagRun).where(DagRun.state.in_([DagRunState.SUCCESS])))",
    "another column": "def note(s):\n    s.execute(update(DagRun).values(backfill_id=1))",
    "another table": "def end(s, what):\n    s.execute(update(TaskInstance).values(state=what))",
    "a run is born": "def make(dag):\n    dag.create_dagrun(state=DagRunState.QUEUED)",
}


@pytest.mark.parametrize("source", NO_WRITERS.values(), ids=NO_WRITERS)
def test_what_ends_no_run_is_left_out(tmp_path: Path, source: str) -> None:
    """Else the list would be long and nobody would read it."""
    (tmp_path / "module.py").write_text(HEADER + source, encoding="utf-8")
    assert scan(tmp_path) == {}


def test_a_change_in_a_known_place_is_a_difference() -> None:
    """One more reason to end a run in the same function, and a place that is gone, are both said."""
    known = {"a:f": ["FAILED"], "b:g": ["SUCCESS"]}
    assert differences({"a:f": ["FAILED", "FAILED"]}, known) == [
        "CHANGED a:f writes FAILED, FAILED; known: FAILED",
        "GONE b:g",
    ]
