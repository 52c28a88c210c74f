"""A nightly report that a portal can also ask for, and be told of, at any time.

Shown here: a schedule fixed in code, ``Param``s that Airflow checks before it accepts a trigger, a Variable
that is read while the run runs, and the final task that rings the caller back with a result.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param, Variable, task

from ringback_notifier import notify_completion

SALES = {"APAC": [1200, 1513, 1500], "EMEA": [820, 990], "AMER": [2100, 1875, 40]}

with DAG(
    "sales_report",
    schedule="0 3 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={
        "region": Param("EMEA", type="string", enum=list(SALES), description="Whose sales"),
        "dry_run": Param(False, type="boolean", description="Count, but publish nothing"),
    },
    tags=["ringback", "example"],
):

    @task
    def extract(params: dict) -> list[int]:
        return SALES[params["region"]]

    @task
    def summarise(orders: list[int], params: dict) -> dict:
        report = {"region": params["region"], "rows": len(orders), "total": sum(orders)}
        # A toggle for operators: it is looked up in each run, not when the file is parsed.
        if Variable.get("sales_report_details", default="off") == "on":
            report["orders"] = orders
        return report

    @task
    def publish(report: dict, params: dict) -> dict:
        return {**report, "published": not params["dry_run"]}

    published = publish(summarise(extract()))
    notify_completion(result=published)
