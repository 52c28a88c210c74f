"""What the notifier offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ringback_notifier
from ringback_notifier import errors


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names() -> None:
    """Three names are all that a DAG author needs, and two put a relay into the DAG folder."""
    assert set(ringback_notifier.__all__) == {
        "CompletionNotifier",
        "NotifyCompletionOperator",
        "notify_completion",
        "relay_dag",
        "relay_watcher_dag",
    }
    assert dir(ringback_notifier) == sorted(ringback_notifier.__all__)
    for name in ringback_notifier.__all__:
        assert getattr(ringback_notifier, name).__name__ == name


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    """A typing error in a DAG gets the usual message."""
    with pytest.raises(AttributeError, match="module 'ringback_notifier' has no attribute 'notify'"):
        _ = ringback_notifier.notify


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Every component of Airflow imports it at start."""
    heavy = ["airflow", "httpx", "httpcore", "cryptography", "msgspec", "ssl", "asyncio", "fastapi", "sqlalchemy"]
    assert run(f"import sys, ringback_notifier; print([n for n in {heavy} if n in sys.modules])") == "[]"


def test_the_provider_info_imports_neither_airflow_nor_what_sends() -> None:
    """Airflow's provider manager loads it in every process."""
    heavy = ["airflow", "httpx", "httpcore", "cryptography", "fastapi", "sqlalchemy"]
    code = "import sys, ringback_notifier.provider as p; p.get_provider_info()"
    assert run(f"{code}; print([n for n in {heavy} if n in sys.modules])") == "[]"


def test_what_sends_needs_neither_a_web_framework_nor_a_database() -> None:
    """The notifier's own modules import without the receiver's dependencies."""
    heavy = ["fastapi", "starlette", "sqlalchemy", "airflow"]
    code = f"import sys, ringback_notifier._prepare; print([n for n in {heavy} if n in sys.modules])"
    assert run(code) == "[]"


def test_every_error_has_a_reason() -> None:
    """Logs and metrics can tell them apart."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(kind, errors.NotifierError) for kind in kinds)
    assert len({kind.reason for kind in kinds}) == len(kinds)
