"""The Airflow clients against a real Airflow: what it really answers, and what they make of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Any

import anyio
import httpx
import pytest

from ringback_receiver import _airflow_errors as errors
from ringback_receiver._airflow_async_client import AsyncAirflowClient
from ringback_receiver._airflow_client import AirflowClient

LONG = 120
"""Seconds in which a run of one small task has surely ended."""

PATIENT = 60
"""Seconds for one request: two busy cores are enough to make the API server slow."""


@pytest.fixture
def client(airflow: Any) -> Iterator[AirflowClient]:
    with AirflowClient(airflow.url, username=airflow.username, password=airflow.password, timeout=PATIENT) as client:
        yield client


@pytest.fixture
async def async_client(airflow: Any) -> AsyncIterator[AsyncAirflowClient]:
    async with AsyncAirflowClient(
        airflow.url, username=airflow.username, password=airflow.password, timeout=PATIENT
    ) as client:
        yield client


@pytest.fixture
def run_id() -> str:
    """A run id with every special character that Airflow allows."""
    return f"client~{uuid.uuid4()}:a+b_c.d"


# --- trigger


def test_a_run_is_triggered_and_read(client: AirflowClient, run_id: str) -> None:
    """A triggered run has our id and conf, and can be read back."""
    conf = {"region": "EMEA", "callback_note": {"x": 1.0, "y": [None, True, "ü"]}}
    run = client.trigger("sales_report", conf=conf, run_id=run_id, note="by a test")
    assert (run.dag_id, run.run_id, run.conf, run.note) == ("sales_report", run_id, conf, "by a test")
    assert run.logical_date is None
    assert client.get_run("sales_report", run_id).conf == conf


def test_the_link_of_a_run_leads_to_airflow(client: AirflowClient, run_id: str) -> None:
    """The page that a run links to is served."""
    run = client.trigger("sales_report", conf={"region": "EMEA"}, run_id=run_id)
    page = httpx.get(run.run_url, trust_env=False)
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")


def test_a_trigger_can_be_repeated(client: AirflowClient, run_id: str) -> None:
    """The same trigger twice is one run."""
    when = datetime.now(timezone.utc)
    first = client.trigger("sales_report", conf={"region": "EMEA"}, run_id=run_id, logical_date=when)
    again = client.trigger("sales_report", conf={"region": "EMEA"}, run_id=run_id, logical_date=when)
    assert (again.run_id, again.run_after, again.logical_date) == (first.run_id, first.run_after, when)


def test_another_conf_under_the_same_id_is_a_conflict(client: AirflowClient, run_id: str) -> None:
    """A run id cannot be used for two different triggers."""
    client.trigger("sales_report", conf={"region": "EMEA"}, run_id=run_id)
    with pytest.raises(errors.RunConflict) as caught:
        client.trigger("sales_report", conf={"region": "APAC"}, run_id=run_id)
    assert (caught.value.reason, caught.value.status) == ("run_conflict", 409)


def test_a_logical_date_can_be_used_once(client: AirflowClient) -> None:
    """Two runs of a DAG cannot have one logical date."""
    when = datetime.now(timezone.utc)
    client.trigger("sales_report", conf={"region": "EMEA"}, logical_date=when)
    with pytest.raises(errors.RunConflict) as caught:
        client.trigger("sales_report", conf={"region": "EMEA"}, logical_date=when)
    assert caught.value.reason == "logical_date_taken"


def test_a_wrong_param_is_explained(client: AirflowClient) -> None:
    """A conf that the DAG's params forbid is refused, and the param is named."""
    with pytest.raises(errors.AirflowRequestRejected, match="'MARS' is not one of") as caught:
        client.trigger("sales_report", conf={"region": "MARS"})
    assert caught.value.status == 400
    assert len(caught.value.details) == 1
    assert "region" in caught.value.details[0]


def test_a_validation_error_names_the_field(client: AirflowClient) -> None:
    """A 422 of Airflow's request model becomes a line with the field."""
    with pytest.raises(errors.AirflowRequestRejected) as caught:
        client.trigger("sales_report", note=7)  # type: ignore[arg-type]
    assert caught.value.status == 422
    assert caught.value.details == ("note: Input should be a valid string",)


def test_a_reserved_run_id_is_explained(client: AirflowClient) -> None:
    """Airflow keeps some prefixes of run ids to itself, and says so."""
    with pytest.raises(errors.AirflowRequestRejected, match="reserved for scheduled runs"):
        client.trigger("sales_report", run_id=f"scheduled__{uuid.uuid4()}")


# --- what is not there


def test_missing_things_are_named(client: AirflowClient) -> None:
    """A DAG, a run and a variable that are not there have an error each."""
    with pytest.raises(errors.DagNotFound, match="no_such_dag"):
        client.trigger("no_such_dag")
    with pytest.raises(errors.DagNotFound, match="no_such_dag"):
        client.pause("no_such_dag")
    with pytest.raises(errors.RunNotFound, match="no_such_run"):
        client.get_run("sales_report", "no_such_run")
    with pytest.raises(errors.VariableNotFound, match="no/such/variable"):
        client.get_variable("no/such/variable")


def test_a_wrong_prefix_is_not_a_missing_run(airflow: Any) -> None:
    """Airflow serves its UI's page under any path: that is no answer, and no word that a run is gone."""
    with AirflowClient(f"{airflow.url}/prefix", token="t") as client:
        with pytest.raises(errors.AirflowProtocolError, match="base URL"):
            client.get_run("sales_report", "r1")
        with pytest.raises(errors.AirflowProtocolError, match="base URL"):
            client.trigger("sales_report")
    with (
        AirflowClient(f"{airflow.url}/prefix", username="u", password="p") as client,
        pytest.raises(errors.AirflowProtocolError, match="base URL"),
    ):
        client.get_run("sales_report", "r1")


# --- DAGs and variables


def test_variables_are_created_updated_and_read(client: AirflowClient) -> None:
    """Setting creates and updates; the key may hold slashes and spaces."""
    key = f"ringback/test {uuid.uuid4()}"
    client.set_variable(key, "1", description="a test's")
    assert client.get_variable(key) == "1"
    client.set_variable(key, "")
    assert client.get_variable(key) == ""
    client.set_variable(key, "two")
    assert client.get_variable(key) == "two"


def test_a_paused_dag_keeps_its_runs_queued(client: AirflowClient, run_id: str) -> None:
    """A run of a paused DAG waits, the wait times out with it, and unpausing lets it go on."""
    client.pause("failing")
    try:
        with pytest.raises(errors.WaitTimeout) as caught:
            client.trigger_and_wait("failing", run_id=run_id, timeout=2)
        assert caught.value.run is not None
        assert caught.value.run.state == "queued"
    finally:
        client.unpause("failing")
    with pytest.raises(errors.RunFailed) as failed:
        client.wait_for_run("failing", run_id, timeout=LONG)
    assert failed.value.run.state == "failed"
    assert failed.value.run.end_date is not None


# --- waiting


def test_a_run_is_waited_for(client: AirflowClient) -> None:
    """A run that succeeds is returned with its times."""
    run = client.trigger_and_wait("sales_report", conf={"region": "AMER"}, timeout=LONG, poll_interval=0.5)
    assert run.succeeded
    assert run.start_date is not None
    assert run.end_date is not None
    assert run.start_date <= run.end_date


@pytest.mark.anyio
async def test_many_tasks_trigger_and_wait(async_client: AsyncAirflowClient) -> None:
    """The asynchronous client does the same, for several runs at once."""
    states: list[str] = []

    async def one(region: str) -> None:
        run = await async_client.trigger_and_wait("sales_report", conf={"region": region}, timeout=LONG)
        states.append(run.state)

    async with anyio.create_task_group() as tasks:
        for region in ("APAC", "EMEA", "AMER"):
            tasks.start_soon(one, region)
    assert states == ["success"] * 3


@pytest.mark.anyio
async def test_a_failed_run_is_an_error(async_client: AsyncAirflowClient) -> None:
    """The asynchronous client raises what the synchronous one raises."""
    with pytest.raises(errors.RunFailed) as caught:
        await async_client.trigger_and_wait("failing", timeout=LONG)
    assert caught.value.run.state == "failed"


# --- credentials


def test_a_wrong_password_is_refused(airflow: Any) -> None:
    """Airflow's refusal names the user and repeats nothing of the password."""
    with (
        AirflowClient(airflow.url, username=airflow.username, password="not-it") as client,
        pytest.raises(errors.AirflowAuthError, match=airflow.username) as caught,
    ):
        client.get_run("sales_report", "r1")
    assert caught.value.reason == "credentials_refused"
    assert "not-it" not in str(caught.value)


def test_a_token_that_airflow_no_longer_takes_is_replaced(airflow: Any, client: AirflowClient, run_id: str) -> None:
    """A token signed with another key, which Airflow answers with 403, is replaced by a good one."""
    client.trigger("sales_report", conf={"region": "EMEA"}, run_id=run_id)
    answer = httpx.post(
        f"{airflow.url}/auth/token",
        json={"username": airflow.username, "password": airflow.password},
        trust_env=False,
    )
    good: str = answer.json()["access_token"]
    tokens = iter([good[:-8] + "AAAAAAAA", good])
    with AirflowClient(airflow.url, token=lambda: next(tokens)) as other:
        assert other.get_run("sales_report", run_id).run_id == run_id


def test_a_fixed_token_that_airflow_does_not_take_is_an_error(airflow: Any) -> None:
    """There is no other token to try, so the refusal is the caller's to see."""
    with (
        AirflowClient(airflow.url, token="none-of-yours") as client,
        pytest.raises(errors.AirflowAuthError) as caught,
    ):
        client.get_run("sales_report", "r1")
    assert caught.value.reason == "unauthorized"
