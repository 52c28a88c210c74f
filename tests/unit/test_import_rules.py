"""Who may import whom: the notifier and the receiver meet only in the protocol."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "protocol/ringback_protocol": {"ringback_protocol"},
    "notifier/ringback_notifier": {"ringback_notifier", "ringback_protocol"},
    "receiver/ringback_receiver": {"ringback_receiver", "ringback_protocol"},
}
OURS = {"ringback_protocol", "ringback_notifier", "ringback_receiver", "ringback_cli"}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_dependencies_point_one_way(folder: str) -> None:
    """No file imports across, not even inside a function."""
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            ours = {name.split(".")[0] for name in names} & OURS
            assert ours <= MAY_IMPORT[folder], f"{file.relative_to(ROOT)} imports {ours}"


@pytest.mark.parametrize("root", ["protocol", "notifier", "receiver", "cli"])
def test_source_roots_are_no_packages(root: str) -> None:
    """A top-level package called ``notifier`` would shadow the modules of DAG authors."""
    assert not (ROOT / root / "__init__.py").exists()


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import ringback_protocol", ["airflow", "fastapi", "httpx", "sqlalchemy", "pydantic"]),
        ("import ringback_notifier", ["airflow", "fastapi", "httpx", "sqlalchemy", "msgspec"]),
        (
            "import ringback_notifier._delivery",
            ["airflow", "fastapi", "sqlalchemy", "asyncpg", "sqlite3", "opentelemetry"],
        ),
        (
            "from ringback_notifier import notify_completion, CompletionNotifier",
            ["fastapi", "starlette", "uvicorn", "asyncpg", "psycopg2", "ringback_receiver"],
        ),
        ("import ringback_notifier._outcomes, ringback_notifier._tracing", ["airflow", "opentelemetry", "statsd"]),
        ("import ringback_notifier._recording", ["airflow", "fastapi", "sqlalchemy", "alembic", "httpx", "msgspec"]),
        ("import ringback_notifier.outbox", ["airflow", "sqlalchemy", "alembic", "psycopg", "sqlite3", "msgspec"]),
        ("from ringback_notifier.outbox import Hint, OutboxEvent", ["airflow", "sqlalchemy", "alembic", "psycopg"]),
        ("from ringback_notifier.outbox import Outbox", ["airflow", "alembic", "psycopg", "fastapi"]),
        ("import ringback_notifier.web._entry", ["airflow", "fastapi", "starlette", "anyio", "sqlalchemy"]),
    ],
)
def test_importing_pulls_in_nothing_heavy(code: str, forbidden: list[str]) -> None:
    """The protocol needs no Airflow; the notifier neither a web framework nor a database driver."""
    # What Airflow's own SDK loads is not ours to answer for.
    program = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        f"if 'CompletionNotifier' in {code!r}: import airflow.sdk; from airflow.sdk import BaseOperator, DAG\n"
        "before = set(sys.modules)\n"
        f"{code}\n"
        f"print(sorted(set({forbidden!r}) & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("loaded", ["the plugin", "its listener"])
def test_the_plugin_adds_nothing_to_what_its_base_class_loads(loaded: str) -> None:
    """Every component of Airflow imports it, the DAG processor included; only a run that asks costs more."""
    forbidden = [
        "ringback_protocol",
        "ringback_notifier.outbox",
        "ringback_notifier._delivery",
        "ringback_notifier.web._application",
        "alembic",
        "fastapi",
    ]
    program = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from airflow.plugins_manager import AirflowPlugin\n"
        "before = set(sys.modules)\n"
        "from ringback_notifier.plugin import RingbackPlugin\n"
        f"{'RingbackPlugin().on_load()' if loaded == 'its listener' else ''}\n"
        "added = set(sys.modules) - before\n"
        "ours = [name for name in added if not name.startswith(('ringback_notifier', 'airflow.'))]\n"
        f"print(sorted(set({forbidden!r}) & added), sorted(set(ours) - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] []"
