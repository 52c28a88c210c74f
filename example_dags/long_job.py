"""A job in parts: mapped tasks between a setup and its teardown, and a caller who hears how it went.

The final task comes after the job's own teardown, and reports what the run's state will be by Airflow's own
rule: failed if any part failed, whatever the clean-up did.
"""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task

from ringback_notifier import notify_completion

with DAG(
    "long_job",
    schedule=None,
    params={
        "parts": Param(3, type="integer", minimum=1, maximum=50, description="How many parts the job has"),
        "seconds": Param(1, type="number", minimum=0, maximum=3600, description="How long each part takes"),
        "broken_part": Param(None, type=["null", "integer"], description="The part that fails, if any"),
    },
    tags=["ringback", "example"],
):

    @task
    def create_scratch_space() -> str:
        return "scratch"

    @task
    def plan(params: dict) -> list[int]:
        return list(range(params["parts"]))

    @task
    def work(part: int, params: dict) -> int:
        time.sleep(params["seconds"])
        if part == params["broken_part"]:
            raise RuntimeError(f"part {part} is broken")
        return part * part

    @task
    def remove_scratch_space() -> None:
        pass

    scratch = create_scratch_space()
    parts = work.expand(part=plan())
    scratch >> parts >> remove_scratch_space().as_teardown(setups=scratch)
    notify_completion(result={"squares": parts})
