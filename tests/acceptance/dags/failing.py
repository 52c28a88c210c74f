"""A run that fails, and tells nobody."""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("failing", schedule=None):

    @task
    def fail() -> None:
        raise ValueError("on purpose")

    fail()
