"""How each of many runs is, asked in few requests."""

from __future__ import annotations

import pytest
from runs_server import RunsServer

from ringback_receiver import AirflowAuthError, AirflowClient, AirflowError, AirflowUnreachable
from ringback_receiver._airflow_runs import RunsFound

HOST = "https://airflow.example"


def find(server: RunsServer, *run_ids: str, dag_id: str = "sales") -> RunsFound:
    with AirflowClient(HOST, token="t0k3n", transport=server.transport()) as client:
        return client.find_runs([(dag_id, run_id) for run_id in run_ids])


def filled(count: int, **options: int) -> tuple[RunsServer, list[str]]:
    server = RunsServer(**options)
    names = [f"ringback__req_{number:026}" for number in range(count)]
    for name in names:
        server.add(name)
    return server, names


def test_many_runs_cost_few_requests() -> None:
    """A hundred in one, and each with what it is but for its conf."""
    server, names = filled(250)
    found = find(server, *names)
    assert {run_id for _, run_id in found.runs} == set(names)
    assert (len(server.lists), server.singles) == (3, [])
    run = found.runs["sales", names[7]]
    assert (run.state, run.conf, run.run_url) == ("running", None, f"{HOST}/dags/sales/runs/{names[7]}")
    assert run.start_date is not None


def test_no_runs_cost_no_request() -> None:
    """There is nothing to ask."""
    assert find(RunsServer()) == RunsFound()


def test_run_that_is_gone_is_told_from_the_others() -> None:
    """What the list leaves out is asked for by itself before it is said to be gone."""
    server, names = filled(3)
    found = find(server, *names, "vanished")
    assert (found.gone, set(found.runs)) == ({("sales", "vanished")}, {("sales", name) for name in names})
    assert server.singles == ["vanished"]


def test_runs_whose_ids_look_alike_take_nobodys_place() -> None:
    """The pattern finds more than was asked for, also in another DAG, and the page has an end."""
    server = RunsServer()
    server.add("nightly", "success")
    for number in range(120):
        server.add(f"nightly_{number}")
    server.add("nightly", "failed", dag_id="stock")
    found = find(server, "nightly")
    assert {key: run.state for key, run in found.runs.items()} == {("sales", "nightly"): "success"}


def test_server_with_a_lower_limit_is_asked_again() -> None:
    """More lists, not a request for each run."""
    server, names = filled(100, limit=30)
    assert len(find(server, *names).runs) == 100
    assert (len(server.lists), server.singles) == (4, [])


def test_one_bad_run_does_not_hide_the_others() -> None:
    """A list that Airflow fails over is halved until the one run stands alone."""
    server, names = filled(100)
    server.poison = {names[42]}
    found = find(server, *names)
    assert len(found.runs) == 99
    assert isinstance(found.unreadable["sales", names[42]], AirflowUnreachable)
    assert not found.gone


def test_huge_run_does_not_hide_the_others() -> None:
    """Somebody put a book into a conf."""
    server, names = filled(20)
    server.add(names[3], conf={"book": "x" * 6_000_000})
    found = find(server, *names)
    assert (len(found.runs), list(found.unreadable)) == (19, [("sales", names[3])])


@pytest.mark.parametrize(
    "change", [{"start_date": "2026-07-02T12:00:00"}, {"end_date": 7}, {"state": None}, {"start_date": "yesterday"}]
)
def test_run_that_cannot_be_read_does_not_hide_the_others(change: dict[str, object]) -> None:
    """A time without a zone, or what is no time at all."""
    server, names = filled(3)
    server.add(names[1], **change)
    found = find(server, *names)
    assert (len(found.runs), list(found.unreadable)) == (2, [("sales", names[1])])


@pytest.mark.parametrize("status", [500, 502, 503, 429, 404, 302])
def test_outage_says_nothing_of_any_run(status: int) -> None:
    """Least of all that it is gone; and Airflow is not asked a hundred times while it is down."""
    server, names = filled(100)
    server.outage = status
    with pytest.raises(AirflowError, match=f"answered {status}"):
        find(server, *names)
    assert server.asked == 2


def test_404_that_is_not_airflows_says_nothing_of_the_run() -> None:
    """A proxy that lost its way does not name it."""
    server, names = filled(2)
    server.gone_says = "Not Found"
    found = find(server, *names, "vanished")
    assert (found.gone, list(found.unreadable)) == (set(), [("sales", "vanished")])


def test_outage_half_way_says_nothing_of_any_run() -> None:
    """Airflow goes away while a missing run is asked for."""
    server, names = filled(3)

    def then_away(path: str, params: dict[str, str]) -> tuple[int, object]:
        answer = RunsServer.answer(server, path, params)
        server.outage = 503
        return answer

    server.answer = then_away  # type: ignore[method-assign]
    with pytest.raises(AirflowUnreachable):
        find(server, *names, "vanished")


def test_account_that_may_not_list_all_dags_asks_by_dag() -> None:
    """Least privilege costs one list for each DAG."""
    server = RunsServer()
    for dag_id in ("sales", "stock"):
        server.add("run_1", dag_id=dag_id)
    server.only_by_dag = True
    with AirflowClient(HOST, token="t0k3n", transport=server.transport()) as client:
        found = client.find_runs([("sales", "run_1"), ("stock", "run_1")])
    assert set(found.runs) == {("sales", "run_1"), ("stock", "run_1")}
    assert len(server.lists) == 2


def test_dag_that_may_not_be_seen_does_not_hide_the_others() -> None:
    """Nor is a run of it said to be gone."""
    server = RunsServer()
    for dag_id in ("secret", "sales"):
        server.add(f"{dag_id}_run", dag_id=dag_id)
    server.hidden_dags = {"secret"}
    keys = [("secret", "secret_run"), ("sales", "sales_run")]
    for server.only_by_dag in (False, True):
        with AirflowClient(HOST, token="t0k3n", transport=server.transport()) as client:
            found = client.find_runs(keys)
        assert set(found.runs) == {("sales", "sales_run")}
        assert isinstance(found.unreadable["secret", "secret_run"], AirflowAuthError)


def test_ids_that_no_path_can_hold_are_unreadable() -> None:
    """They harm nobody else, whether a list shows them or not."""
    server, names = filled(1)
    found = find(server, "..", *names)
    assert (len(found.runs), list(found.unreadable)) == (1, [("sales", "..")])
    server.only_by_dag = True
    assert list(find(server, *names, dag_id="..").unreadable) == [("..", names[0])]
    server.only_by_dag = False
    server.add("..", "success")
    assert (find(server, "..").runs["sales", ".."].state) == "success"
