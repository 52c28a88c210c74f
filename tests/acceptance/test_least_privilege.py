"""Accounts that can do one thing each, as docs/deploy.md makes them, on a real Airflow with the FAB auth manager."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from conftest import LONG, ROOT, copy_dags, eventually

from demo.local_airflow import LocalAirflow
from demo.local_postgres import LocalPostgres
from demo.local_relay import running_relay
from demo.serving import serving
from ringback_notifier.outbox import Outbox, OutboxEvent
from ringback_receiver import AirflowAuthError, AsyncAirflowClient, Receiver

pytestmark = pytest.mark.anyio

ADMIN = "users create --username admin --role Admin --firstname Ada --lastname Min --email admin@airflow.example"
PYTHON = ROOT / ".venv-fab" / "bin" / "python"
SETTINGS = {
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    "AIRFLOW__RINGBACK__SWEEP_INTERVAL": "1",
    "AIRFLOW__RINGBACK__CALLBACK_GRACE": "1",
}
# The scheduler announces how runs end; what is done through the API only a sweep can find.
SILENT_API = {"api-server": {"AIRFLOW__RINGBACK__LISTENER": "False"}}

OWN, OTHER = "/api/v2/dags/sales_report", "/api/v2/dags/legacy_job"
OWN_RUN, OTHER_RUN = f"{OWN}/dagRuns/seen", f"{OTHER}/dagRuns/seen"
NEW_RUN = {"logical_date": None, "conf": {}}
BACKFILL = {"dag_id": "sales_report", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}

Call = tuple[str, str, dict[str, object] | None]

READS_OWN: list[Call] = [("GET", OWN, None), ("GET", OWN_RUN, None), ("GET", "/api/v2/dags/~/dagRuns", None)]
READS_OTHER: list[Call] = [("GET", OTHER, None), ("GET", OTHER_RUN, None)]
TRIGGERS_OTHER: list[Call] = [
    ("POST", f"{OTHER}/dagRuns", NEW_RUN),
    ("PATCH", OTHER, {"is_paused": True}),
]
TRIGGERS_OWN: list[Call] = [
    ("POST", f"{OWN}/dagRuns", NEW_RUN),
    ("PATCH", OWN, {"is_paused": False}),
    ("POST", "/api/v2/backfills", BACKFILL),
]
NOBODYS: list[Call] = [
    ("GET", "/api/v2/variables", None),
    ("GET", "/api/v2/variables/secret", None),
    ("POST", "/api/v2/variables", {"key": "sales_report_details", "value": "on"}),
    ("GET", "/api/v2/connections", None),
    ("GET", "/api/v2/connections/secret", None),
    ("POST", "/api/v2/connections", {"connection_id": "ringback_default", "conn_type": "ringback"}),
    ("GET", f"{OWN_RUN}/taskInstances", None),
    ("GET", f"{OWN_RUN}/taskInstances/publish/logs/1", None),
    ("GET", f"{OWN_RUN}/taskInstances/publish/xcomEntries/return_value", None),
    ("GET", "/api/v2/dagSources/sales_report", None),
    ("GET", "/api/v2/eventLogs", None),
    ("GET", "/auth/fab/v1/users", None),
    ("PATCH", f"{OWN_RUN}/taskInstances/publish", {"new_state": "failed"}),
    ("PATCH", OWN_RUN, {"state": "failed"}),
    ("POST", f"{OWN}/clearTaskInstances", {"dag_run_id": "seen", "dry_run": False}),
    ("POST", f"{OWN_RUN}/clear", {"dry_run": False}),
    ("DELETE", OWN_RUN, None),
    ("DELETE", OTHER_RUN, None),
    ("DELETE", OTHER, None),
]


@dataclass(frozen=True, kw_only=True)
class Site:
    """An Airflow, the key that verifies its events, and the passwords of its accounts."""

    airflow: LocalAirflow
    key: str
    passwords: dict[str, str] = field(repr=False)

    def api(self, username: str) -> httpx.Client:
        """Return an HTTP client of the REST API, signed in with one of the accounts."""
        credentials = {"username": username, "password": self.passwords[username]}
        answer = httpx.post(f"{self.airflow.url}/auth/token", json=credentials, timeout=60, trust_env=False)
        headers = {"authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
        return httpx.Client(base_url=self.airflow.url, headers=headers, timeout=60, trust_env=False)

    def statuses(self, username: str, calls: list[Call]) -> dict[str, int]:
        """Make the calls with one of the accounts and return how each was answered."""
        with self.api(username) as api:
            return {
                f"{method} {path}": api.request(method, path, json=json).status_code for method, path, json in calls
            }


def block(containing: str) -> str:
    """Return the one piece of the deployment document that contains a text."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (found,) = [code for code in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if containing in code]
    return str(found)


def recipe() -> list[list[str]]:
    """Return the commands that make the accounts, word by word."""
    lines = block("airflow sync-perm").replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def add_destination(airflow: LocalAirflow, port: int) -> str:
    """Give Airflow a signing key as the document does, for receivers on a port, and return the public key."""
    script = block("airflow connections import").replace("https://portal.example/", f"http://127.0.0.1:{port}/")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=airflow.environment,
        cwd=airflow.home,
        capture_output=True,
        text=True,
        check=True,
    )
    (key,) = re.findall(r"^whpk_\S+$", done.stdout, re.MULTILINE)
    return str(key)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: LocalPostgres, receiver_port: int) -> Iterator[Site]:
    """An Airflow whose FAB auth manager knows the accounts of the recipe."""
    assert PYTHON.exists(), "make acceptance, or make least-privilege, creates it"
    dags = tmp_path_factory.mktemp("dags")
    copy_dags(dags, *(ROOT / "example_dags" / f"{name}.py" for name in ("sales_report", "legacy_job")))
    airflow = LocalAirflow(
        tmp_path_factory.mktemp("fab"),
        dags,
        SETTINGS,
        database=postgres.create("fab"),
        component_settings=SILENT_API,
        python=PYTHON,
    )
    passwords = {"admin": airflow.password, **{name: secrets.token_urlsafe(12) for name in ("portal", "ringback")}}

    def run(words: list[str]) -> None:
        asked = passwords[words[words.index("--username") + 1]] if "--username" in words else ""
        airflow.run(*words, told=f"{asked}\n{asked}\n")

    with airflow:
        airflow.start(prepare=lambda: run(shlex.split(ADMIN)))
        for program, *words in recipe():
            assert program == "airflow"
            run(words)
        key = add_destination(airflow, receiver_port)
        yield Site(airflow=airflow, key=key, passwords=passwords)


@pytest.fixture(scope="module")
def seen(site: Site) -> Site:
    """A finished run of each DAG, for others to look at and to tamper with."""
    with site.api("admin") as admin:
        for dag in (OWN, OTHER):
            admin.post(f"{dag}/dagRuns", json={**NEW_RUN, "dag_run_id": "seen"}).raise_for_status()
        deadline = time.monotonic() + LONG
        while {admin.get(run).json()["state"] for run in (OWN_RUN, OTHER_RUN)} != {"success"}:
            assert time.monotonic() < deadline, "they did not end"
            time.sleep(0.3)
    return site


@pytest.fixture
async def portal(site: Site, receiver_port: int, tmp_path: Path) -> AsyncIterator[Receiver]:
    """A caller with its own account."""
    async with calling(site, "portal", receiver_port, tmp_path) as receiver:
        yield receiver


@asynccontextmanager
async def calling(site: Site, username: str, port: int, folder: Path) -> AsyncIterator[Receiver]:
    """Put a receiver on the air that triggers with one of the accounts."""
    async with AsyncAirflowClient(
        site.airflow.url, username=username, password=site.passwords[username], timeout=60, trust_env=False
    ) as client:
        url, store = f"http://127.0.0.1:{port}/airflow/completions", f"sqlite:///{folder / 'ringback.db'}"
        receiver = Receiver(url, site.key, client, store)
        async with serving(receiver, port):
            yield receiver


async def test_a_caller_is_rung_back_by_its_own_dag_and_no_other(site: Site, portal: Receiver) -> None:
    """Two permissions on one DAG are all that triggering, and being rung back, takes."""
    handle = await portal.trigger("sales_report", conf={"region": "APAC"})
    completion = await handle.completion(timeout=LONG)
    assert (completion.state, completion.reported_by, completion.result["rows"]) == ("success", "task", 3)
    with pytest.raises(AirflowAuthError):
        await portal.trigger("legacy_job")


async def test_airflow_knows_who_triggered_what(site: Site, portal: Receiver) -> None:
    """With an account for each caller, the audit log and the run itself name it."""
    handle = await portal.trigger("sales_report")
    with site.api("admin") as admin:
        admin.post(f"{OWN}/dagRuns", json={**NEW_RUN, "dag_run_id": "by_hand"}).raise_for_status()
        log = admin.get("/api/v2/eventLogs", params={"dag_id": "sales_report", "event": "trigger_dag_run"}).json()
        owners = {entry["run_id"]: entry["owner"] for entry in log["event_logs"]}
        assert (owners[handle.run_id], owners["by_hand"]) == ("portal", "admin")
        for run_id, owner in owners.items():
            assert admin.get(f"{OWN}/dagRuns/{run_id}").json()["triggering_user_name"] == owner


def test_a_caller_may_trigger_and_read_its_dag_only(seen: Site) -> None:
    """200 for what it needs, 403 for another DAG, Variables, Connections, clearing, marking and the rest."""
    assert set(seen.statuses("portal", READS_OWN + TRIGGERS_OWN).values()) == {200}
    assert set(seen.statuses("portal", READS_OTHER + TRIGGERS_OTHER + NOBODYS).values()) == {403}


def test_a_caller_sees_no_run_of_another_dag(seen: Site) -> None:
    """Where runs of all DAGs are asked for, it gets those of its own."""
    with seen.api("portal") as portal:
        runs = portal.get("/api/v2/dags/~/dagRuns").json()["dag_runs"]
    assert {run["dag_id"] for run in runs} == {"sales_report"}


def test_whoever_may_trigger_a_dag_may_pause_it(site: Site) -> None:
    """Airflow asks for the same permission, so neither can be given without the other."""
    with site.api("portal") as portal:
        for paused in (True, False):
            assert portal.patch(OWN, json={"is_paused": paused}).json()["is_paused"] is paused


def test_the_relays_account_may_read_dags_and_runs_only(seen: Site) -> None:
    """200 for every DAG and every run, 403 for all else."""
    assert set(seen.statuses("ringback", READS_OWN + READS_OTHER).values()) == {200}
    assert set(seen.statuses("ringback", TRIGGERS_OWN + TRIGGERS_OTHER + NOBODYS).values()) == {403}


async def test_the_relay_confirms_and_sweeps_with_its_account(site: Site, receiver_port: int, tmp_path: Path) -> None:
    """It reports a run that the scheduler announced, and one that an admin marked, which nobody announced."""
    account = {
        "conn_type": "http",
        "host": site.airflow.url,
        "login": "ringback",
        "password": site.passwords["ringback"],
    }
    environment = {**site.airflow.environment, "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(account)}
    async with calling(site, "admin", receiver_port, tmp_path) as receiver:
        with running_relay(environment, tmp_path / "relay.log"):
            announced = await (await receiver.trigger("legacy_job")).completion(timeout=LONG)
            assert (announced.state, announced.reported_by) == ("success", "listener")

            handle = await receiver.trigger("legacy_job", conf={"seconds": 120})
            with site.api("admin") as admin:
                run = f"{OTHER}/dagRuns/{handle.run_id}"

                async def at_work() -> bool:
                    return bool(admin.get(f"{run}/taskInstances/work").json().get("state") == "running")

                await eventually(at_work)
                admin.patch(run, json={"state": "failed"}).raise_for_status()
            marked = await handle.completion(timeout=LONG)
            assert (marked.state, marked.reported_by) == ("failed", "relay")


# --- the page Callbacks: the same permissions decide who sees which deliveries, and who has them sent again

KEEPER = {  # somebody who may clear and mark the runs of one DAG
    "can_read": ["DAG:sales_report", "DAG Runs"],
    "can_edit": ["DAG:sales_report", "DAG Runs"],
}
DAGS = {"own": "sales_report", "other": "legacy_job", "forgotten": "deleted_long_ago"}


@pytest.fixture(scope="module")
def page(site: Site) -> Site:
    """Deliveries of two DAGs, and of one that Airflow has forgotten; and an account that keeps one of the DAGs."""
    with site.api("admin") as admin:
        permissions = [
            {"action": {"name": action}, "resource": {"name": resource}}
            for action, resources in KEEPER.items()
            for resource in resources
        ]
        admin.post("/auth/fab/v1/roles", json={"name": "Keeper", "actions": permissions}).raise_for_status()
        site.passwords["keeper"] = secrets.token_urlsafe(12)
        account = {
            "username": "keeper",
            "password": site.passwords["keeper"],
            "email": "keeper@airflow.example",
            "first_name": "Kee",
            "last_name": "Per",
            "roles": [{"name": "Keeper"}],
        }
        admin.post("/auth/fab/v1/users", json=account).raise_for_status()
    with refused(site, "page"):
        return site


@contextmanager
def refused(site: Site, run_id: str) -> Iterator[Outbox]:
    """Put a refused delivery of each DAG into that Airflow's outbox, and return it."""
    outbox = Outbox.open(f"sqlite:///{site.airflow.home}/ringback/outbox.db", wait=30)
    for name, dag_id in DAGS.items():
        event = OutboxEvent(
            event_id=f"msg_{run_id}_{name}",
            dag_id=dag_id,
            run_id=run_id,
            state="success",
            destination="default",
            url="https://portal.example/completions",
            body=b"{}",
            reported_by="relay",
            ended_at=None,
        )
        outbox.record(event, [], status="refused", due_at=0, now=time.time())
    yield outbox
    outbox.close()


def sent_again(site: Site, username: str, order: dict[str, object]) -> httpx.Response:
    """Order as the page does, with one of the accounts."""
    with site.api(username) as api:
        return api.post("/ringback/callbacks/api/redeliver", json=order, headers={"origin": site.airflow.url})


@pytest.mark.parametrize(
    ("username", "seen_dags"),
    [
        ("portal", {"sales_report"}),
        ("keeper", {"sales_report"}),
        ("ringback", {"sales_report", "legacy_job", "deleted_long_ago"}),
        ("admin", {"sales_report", "legacy_job", "deleted_long_ago"}),
    ],
)
def test_an_account_sees_the_deliveries_of_the_dags_that_it_may_read(
    page: Site, username: str, seen_dags: set[str]
) -> None:
    """In the list, in the counts, and one by one; a forgotten DAG's only if it may read all."""
    with page.api(username) as api:
        listed = api.get("/ringback/callbacks/api/deliveries", params={"run_id": "page"}).json()["rows"]
        counted = api.get("/ringback/callbacks/api/counts", params={"run_id": "page"}).json()["counts"]
        opened = {
            dag_id: api.get(f"/ringback/callbacks/api/deliveries/msg_page_{name}").status_code
            for name, dag_id in DAGS.items()
        }
    assert {row["dag_id"] for row in listed} == seen_dags
    assert counted["refused"]["number"] == len(seen_dags)
    assert opened == {dag_id: 200 if dag_id in seen_dags else 404 for dag_id in DAGS.values()}


@pytest.mark.parametrize(
    ("username", "statuses"),
    [
        ("portal", (403, 404, 404)),  # it may trigger its DAG, and not clear a run of it
        ("ringback", (403, 403, 403)),
        ("keeper", (200, 404, 404)),
        ("admin", (200, 200, 200)),
    ],
)
def test_an_account_has_sent_again_what_it_may_clear(page: Site, username: str, statuses: tuple[int, ...]) -> None:
    """Each delivery by itself, and of all that match those only."""
    answers = [sent_again(page, username, {"event_ids": [f"msg_page_{name}"]}).status_code for name in DAGS]
    assert tuple(answers) == statuses
    order = {"filter": {"run_id": "page", "until": time.time() + 3_600}, "after": None}
    assert sent_again(page, username, order).status_code == (200 if 200 in statuses else 403)


def test_all_that_match_are_those_that_the_account_may_clear(page: Site) -> None:
    """Told before, and done."""
    wanted = {"run_id": "page_all", "until": time.time() + 3_600}
    with refused(page, "page_all") as outbox:
        with page.api("keeper") as keeper:
            assert keeper.get("/ringback/callbacks/api/redeliverable", params=wanted).json()["number"] == 1
        assert sent_again(page, "keeper", {"filter": wanted, "after": None}).json()["count"] == 1
        statuses = {name: outbox.status_of(f"msg_page_all_{name}") for name in DAGS}
    assert statuses == {"own": "due", "other": "refused", "forgotten": "refused"}


def test_an_admin_is_refused_none_of_it(seen: Site) -> None:
    """So none of the refusals above came of a mistake in the call."""
    calls = READS_OWN + READS_OTHER + TRIGGERS_OWN + TRIGGERS_OTHER + NOBODYS
    answers = seen.statuses("admin", calls)
    # Airflow fails now and then over a run that is cleared and deleted while the scheduler looks at it.
    failed = [call for call in calls if answers[f"{call[0]} {call[1]}"] >= 500]
    time.sleep(2 if failed else 0)
    answers |= seen.statuses("admin", failed)
    assert {call: status for call, status in answers.items() if status in (401, 403, 405, 422) or status >= 500} == {}
