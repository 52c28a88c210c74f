"""The whole line: trigger a run on a real Airflow and be rung back."""

from __future__ import annotations

import uuid

import httpx
import pytest
from conftest import LONG, Line, OpenLine, eventually

from demo.local_airflow import LocalAirflow
from ringback_receiver import AsyncAirflowClient, Completion

pytestmark = pytest.mark.anyio


async def test_a_success_comes_with_its_result(line: Line, client: AsyncAirflowClient) -> None:
    """The final task reports the result, and Airflow's own state is the same."""
    handle = await line.receiver.trigger("sales_report", conf={"region": "APAC"}, metadata={"order": 7})
    completion = await handle.completion(timeout=LONG)
    assert completion.result == {"region": "APAC", "rows": 3, "total": 4213, "published": True}
    assert (completion.state, completion.reported_by, completion.metadata) == ("success", "task", {"order": 7})
    assert (await client.wait_for_run("sales_report", handle.run_id, timeout=LONG)).state == "success"
    assert [exchange.status for exchange in line.of_run(handle.run_id)] == [204]


async def test_a_variable_is_read_while_the_run_runs(line: Line, client: AsyncAirflowClient) -> None:
    """Operators toggle a DAG's behaviour from one run to the next."""
    await client.set_variable("sales_report_details", "on")
    try:
        handle = await line.receiver.trigger("sales_report", conf={"region": "AMER", "dry_run": True})
        result = (await handle.completion(timeout=LONG)).result
    finally:
        await client.set_variable("sales_report_details", "off")
    assert (result["orders"], result["published"]) == ([2100, 1875, 40], False)


async def test_a_failure_names_its_failed_tasks(line: Line, airflow: LocalAirflow) -> None:
    """A mapped task that fails is reported with its map index and the address of its log."""
    handle = await line.receiver.trigger("long_job", conf={"parts": 3, "seconds": 0, "broken_part": 1})
    completion = await handle.completion(timeout=LONG)
    assert (completion.state, completion.reason) == ("failed", "task_failure")
    (failed,) = completion.failed_tasks
    assert (failed.task_id, failed.map_index, failed.state) == ("work", 1, "failed")
    assert failed.log_url == f"{airflow.url}/dags/long_job/runs/{handle.run_id}/tasks/work/mapped/1"
    assert completion.result == {"squares": [0, 4]}


async def test_a_mapped_result_is_a_list(line: Line) -> None:
    """The results of a mapped task arrive in the order of its parts."""
    handle = await line.receiver.trigger("long_job", conf={"parts": 4, "seconds": 0})
    completion = await handle.completion(timeout=LONG)
    assert (completion.state, completion.result) == ("success", {"squares": [0, 1, 4, 9]})


@pytest.mark.parametrize(("conf", "state", "failed"), [({}, "success", []), ({"fail": True}, "failed", ["check"])])
async def test_the_callback_reports_too(line: Line, conf: dict[str, bool], state: str, failed: list[str]) -> None:
    """The DAG-run callback reports state, times, failed tasks and a templated result."""
    handle = await line.receiver.trigger("callback_only", conf=conf)
    completion = await handle.completion(timeout=LONG)
    assert (completion.state, completion.reported_by, completion.result) == (state, "callback", 42)
    assert [task.task_id for task in completion.failed_tasks] == failed
    assert completion.end_date is not None
    assert completion.event.data.duration is not None


@pytest.mark.parametrize("fail", [False, True])
async def test_both_paths_give_one_event(line: Line, fail: bool) -> None:
    """Task and callback report the same ending under the same id; the second is a duplicate, and nobody minds."""
    handle = await line.receiver.trigger("both_paths", conf={"fail": fail})
    await handle.completion(timeout=LONG)

    async def both() -> bool:
        return len(line.of_run(handle.run_id)) == 2

    await eventually(both)
    first, second = line.of_run(handle.run_id)
    assert first.body["id"] == second.body["id"]
    assert [first.body["data"]["reported_by"], second.body["data"]["reported_by"]] == ["task", "callback"]
    assert [first.status, second.status] == [204, 204]


async def test_a_rerun_after_clearing_rings_again(line: Line, airflow: LocalAirflow) -> None:
    """A cleared run ends a second time: another event, which reaches handlers as a revision."""
    seen: list[Completion] = []

    @line.receiver.on_completion("sales_report", name="rerun-test")
    async def note(completion: Completion) -> None:
        seen.append(completion)

    handle = await line.receiver.trigger("sales_report", conf={"region": "EMEA"})
    first = await handle.completion(timeout=LONG)
    with airflow.api() as api:

        async def closed() -> bool:
            run = api.get(f"/api/v2/dags/sales_report/dagRuns/{handle.run_id}").json()
            return bool(run["state"] == "success")

        await eventually(closed)
        cleared = api.post(f"/api/v2/dags/sales_report/dagRuns/{handle.run_id}/clear", json={"dry_run": False})
        assert cleared.status_code == 200

    async def twice() -> bool:
        return len(seen) == 2

    await eventually(twice)
    assert [completion.revision for completion in seen] == [False, True]
    assert seen[0].event_id != seen[1].event_id
    assert (await handle.completion(timeout=0)).event_id == first.event_id


async def test_the_dags_declared_result_is_the_default(line: Line) -> None:
    """A DAG that declares its result needs not repeat it."""
    handle = await line.receiver.trigger("declared_result")
    assert (await handle.completion(timeout=LONG)).result == {"answer": 42}


async def test_the_final_task_says_what_it_did(line: Line, airflow: LocalAirflow) -> None:
    """Its XCom has the event id, the status and the attempts."""
    handle = await line.receiver.trigger("both_paths")
    completion = await handle.completion(timeout=LONG)
    assert await final_xcom(airflow, "both_paths", handle.run_id) == {
        "outcome": "delivered",
        "event_id": completion.event_id,
        "status": 204,
        "attempts": 1,
    }


async def test_a_run_that_asks_for_nothing_is_left_alone(
    line: Line, airflow: LocalAirflow, client: AsyncAirflowClient
) -> None:
    """Without a callback in conf the final task is done at once, and says so at info."""
    run_id = f"quiet-{uuid.uuid4()}"
    run = await client.trigger_and_wait("sales_report", conf={"region": "APAC"}, run_id=run_id, timeout=LONG)
    assert run.state == "success"
    assert await final_xcom(airflow, "sales_report", run_id) == {"outcome": "not_requested"}
    assert not line.of_run(run_id)


async def test_someone_with_only_curl_is_rung_back(line: Line, airflow: LocalAirflow) -> None:
    """The short form of the request works, and an event that nobody waits for is parked with a 202."""
    run_id = f"curl-{uuid.uuid4()}"
    conf = {"region": "APAC", "callback_url": line.receiver.callback_url}
    with airflow.api() as api:
        answer = api.post(
            "/api/v2/dags/sales_report/dagRuns", json={"dag_run_id": run_id, "logical_date": None, "conf": conf}
        )
    assert answer.status_code == httpx.codes.OK

    async def rung() -> bool:
        return bool(line.of_run(run_id))

    await eventually(rung)
    (exchange,) = line.of_run(run_id)
    assert (exchange.status, exchange.body["type"]) == (202, "airflow.dag_run.succeeded")


async def test_a_receiver_that_comes_late_is_still_told(open_line: OpenLine, airflow: LocalAirflow) -> None:
    """The receiver is down when the run ends and comes up later: a retry delivers, the run stays green."""
    async with open_line() as line:
        handle = await line.receiver.trigger("sales_report", conf={"region": "EMEA"})
    # The line is closed before the run can have ended: the final task finds nobody.
    with airflow.api() as api:

        async def first_attempt_failed() -> bool:
            path = f"/api/v2/dags/sales_report/dagRuns/{handle.run_id}/taskInstances/ringback_notify"
            return bool(api.get(path).json()["state"] == "up_for_retry")

        await eventually(first_attempt_failed)
        async with open_line() as line:
            again = await line.receiver.request(handle.request_id)
            completion = await again.completion(timeout=LONG)

            async def closed() -> str | None:
                run = api.get(f"/api/v2/dags/sales_report/dagRuns/{handle.run_id}").json()
                return str(run["state"]) if run["state"] in ("success", "failed") else None

            assert await eventually(closed) == "success"
    assert (completion.state, completion.result["rows"]) == ("success", 2)
    xcom = await final_xcom(airflow, "sales_report", handle.run_id)
    assert xcom["outcome"] == "delivered"
    assert xcom["attempts"] > 1


async def final_xcom(airflow: LocalAirflow, dag_id: str, run_id: str) -> dict[str, object]:
    """Return what the final task of a run returned, once it has."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/ringback_notify/xcomEntries/return_value"
    with airflow.api() as api:

        async def there() -> httpx.Response | None:
            answer = api.get(path)
            return answer if answer.status_code == 200 else None

        value: dict[str, object] = (await eventually(there, within=30)).json()["value"]
    return value
