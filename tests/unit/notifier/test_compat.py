"""Where Airflow's versions differ."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases.operator import BASEOPERATOR_ARGS_EXPECTED_TYPES

from ringback_notifier import _compat
from ringback_notifier._compat import (
    _from_states,
    airflow_conf,
    retry_settings,
    task_instances_in_callback,
    task_instances_in_worker,
)
from ringback_notifier._prediction import TaskInstance as Ti


@pytest.mark.parametrize(
    ("states", "known", "expected"),
    [
        ({}, ["a"], ()),
        ({"a": "success"}, ["a"], (Ti(task_id="a", state="success"),)),
        ({"a": None}, ["a"], (Ti(task_id="a", state=None),)),
        (
            {"m_0": "failed", "m_12": "success"},
            ["m"],
            (Ti(task_id="m", map_index=0, state="failed"), Ti(task_id="m", map_index=12, state="success")),
        ),
        ({"m_0": "failed"}, ["m", "m_0"], (Ti(task_id="m_0", state="failed"),)),
        ({"m_0_1": "failed"}, ["m", "m_0"], (Ti(task_id="m_0", map_index=1, state="failed"),)),
        ({"load_2024": "success"}, ["load_2024"], (Ti(task_id="load_2024", state="success"),)),
        ({"a_b": "success"}, ["a_b"], (Ti(task_id="a_b", state="success"),)),
        ({"a_b": "success"}, [], (Ti(task_id="a_b", state="success"),)),
        ({"a_-1": "success"}, ["a"], (Ti(task_id="a_-1", state="success"),)),
        ({"g.m_3": "success"}, ["g.m"], (Ti(task_id="g.m", map_index=3, state="success"),)),
        ({"_0": "success"}, ["a"], (Ti(task_id="", map_index=0, state="success"),)),
        ({"7": "success"}, ["7"], (Ti(task_id="7", state="success"),)),
    ],
)
def test_states_are_told_apart_by_the_ids_of_the_tasks(states: Any, known: list[str], expected: Any) -> None:
    """A key that is a task's id is that task; else what follows the last underscore is a map index."""
    assert _from_states({"r": states}, "r", known) == expected


def test_states_of_another_run_are_not_ours() -> None:
    """An answer without our run holds nothing."""
    assert _from_states({"other": {"a": "failed"}}, "r", ["a"]) == ()


def test_a_worker_asks_for_breadcrumbs_where_there_are_any() -> None:
    """They tell map indexes unambiguously."""

    class Runtime:
        @staticmethod
        def get_task_breadcrumbs(dag_id: str, run_id: str) -> list[dict[str, Any]]:
            assert (dag_id, run_id) == ("d", "r")
            return [{"task_id": "m", "map_index": 0, "state": "failed", "operator": "x", "duration": 1.0}]

    assert task_instances_in_worker(Runtime(), "d", "r") == (Ti(task_id="m", map_index=0, state="failed"),)


def test_an_older_worker_asks_for_states() -> None:
    """Before there were breadcrumbs."""

    class Runtime:
        task = SimpleNamespace(dag=SimpleNamespace(task_dict={"m": None}))

        @staticmethod
        def get_task_states(dag_id: str, *, run_ids: list[str]) -> Any:
            assert (dag_id, run_ids) == ("d", ["r"])
            return {"r": {"m_1": "failed"}}

    assert task_instances_in_worker(Runtime(), "d", "r") == (Ti(task_id="m", map_index=1, state="failed"),)


def test_the_installed_airflow_has_breadcrumbs_for_workers_and_answers_callbacks() -> None:
    """What the notifier looks for by name exists under that name."""
    from airflow.dag_processing.processor import ToManager
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    assert hasattr(RuntimeTaskInstance, "get_task_breadcrumbs")
    assert "GetTaskStates" in repr(ToManager)


def test_a_callback_asks_for_states_where_that_is_answered() -> None:
    """On the installed Airflow the DAG processor answers."""

    class Runtime:
        task = SimpleNamespace(dag=SimpleNamespace(task_dict={"a": None}))

        @staticmethod
        def get_task_states(dag_id: str, *, run_ids: list[str]) -> Any:
            return {"r": {"a": "failed"}}

    assert task_instances_in_callback(Runtime(), "d", "r") == (Ti(task_id="a", state="failed"),)


@pytest.mark.parametrize("missing", ["module", "question"])
def test_a_callback_that_would_hang_asks_nothing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """A question that the DAG processor does not know would never be answered."""
    name = "airflow.dag_processing.processor"
    if missing == "module":
        monkeypatch.setitem(sys.modules, name, None)
    else:
        fake = ModuleType(name)
        fake.ToManager = "DagFileParsingResult | GetConnection"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, fake)
    assert task_instances_in_callback(object(), "d", "r") is None


def test_retries_follow_a_policy_where_airflow_has_one() -> None:
    """On the installed Airflow."""
    from ringback_notifier._retry import RetryAfterPolicy

    settings = retry_settings()
    assert settings["retry_exponential_backoff"] == 2.0
    assert isinstance(settings["retry_policy"], RetryAfterPolicy)


def test_retries_double_where_airflow_has_no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task SDK 1.2 takes a factor, and before it a switch."""
    monkeypatch.setitem(sys.modules, "ringback_notifier._retry", None)
    assert retry_settings() == {"retry_exponential_backoff": 2.0}
    monkeypatch.setitem(BASEOPERATOR_ARGS_EXPECTED_TYPES, "retry_exponential_backoff", bool)
    assert retry_settings() == {"retry_exponential_backoff": True}


def test_exceptions_and_hooks_are_found_in_the_sdk_or_in_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task SDK 1.0 and 1.1 leave them to the core."""
    assert _compat.airflow_exceptions().__name__ == "airflow.sdk.exceptions"
    assert _compat.base_hook().__module__ == "airflow.sdk.bases.hook"
    monkeypatch.setitem(sys.modules, "airflow.sdk.exceptions", ModuleType("airflow.sdk.exceptions"))
    monkeypatch.setitem(sys.modules, "airflow.sdk.bases.hook", None)
    core = SimpleNamespace(BaseHook=object())
    monkeypatch.setitem(sys.modules, "airflow.hooks.base", core)
    assert _compat.airflow_exceptions().__name__ == "airflow.exceptions"
    assert _compat.base_hook() is core.BaseHook


def test_the_configuration_is_found_in_the_sdk_or_in_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read airflow.cfg."""
    assert airflow_conf().get("core", "dags_folder")
    monkeypatch.setitem(sys.modules, "airflow.sdk.configuration", None)
    assert _compat.airflow_conf().get("core", "dags_folder")
