"""The command line, every command of it as a process, with a real Airflow at the other end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from demo.local_airflow import LocalAirflow
from demo.local_postgres import LocalPostgres
from ringback_notifier.outbox import Outbox, OutboxEvent, migrate
from ringback_protocol import PrivateKey

PAUSED = "bare_queued"
"""A DAG whose runs stay queued while these tests hold it."""

Done = subprocess.CompletedProcess[str]


class Shell:
    """Types commands, on the caller's machine or beside Airflow's components."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**environment, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}

    def __call__(self, *arguments: str, given: str = "", **variables: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "ringback_cli", *arguments],
            env={**self._environment, **variables},
            cwd=self._folder,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @contextlib.contextmanager
    def background(self, *arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command, and give it once it has said so on standard error."""
        # Whatever started the tests may ignore Ctrl-C, and its children would, too.
        process = subprocess.Popen(
            [sys.executable, "-m", "ringback_cli", *arguments],
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if until in line:
                    break
            else:
                raise AssertionError(f"it ended with {process.wait()}")
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def caller(airflow: LocalAirflow, key: PrivateKey, folder: Path) -> Shell:
    """A machine from which Airflow can be reached."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "RINGBACK"))}
    return Shell(
        folder,
        {
            **plain,
            "AIRFLOW_HOME": str(folder / "no-airflow"),
            "NO_PROXY": "127.0.0.1",
            "RINGBACK_AIRFLOW_URL": airflow.url,
            "RINGBACK_AIRFLOW_USERNAME": airflow.username,
            "RINGBACK_AIRFLOW_PASSWORD": airflow.password,
            "RINGBACK_KEYS": str(key.public()),
        },
    )


@pytest.fixture(scope="module")
def outbox_url(postgres: LocalPostgres) -> str:
    return postgres.create("cli_outbox")


@pytest.fixture(scope="module")
def beside_airflow(airflow: LocalAirflow, folder: Path, outbox_url: str) -> Shell:
    """A machine of Airflow's, with an outbox of its own."""
    return Shell(
        folder,
        {
            **airflow.environment,
            "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(airflow.reader()),
            "AIRFLOW__RINGBACK__OUTBOX_URL": outbox_url,
            "AIRFLOW__RINGBACK__LISTENER": "True",
        },
    )


@pytest.fixture
def paused(airflow: LocalAirflow) -> Iterator[Callable[[str], None]]:
    """Hold the runs of a DAG; what is given deletes one."""
    with airflow.api() as api:

        def pause(yes: bool) -> None:
            assert api.patch(f"/api/v2/dags/{PAUSED}", json={"is_paused": yes}).status_code == 200

        pause(True)
        try:
            yield lambda run_id: api.delete(f"/api/v2/dags/{PAUSED}/dagRuns/{run_id}").raise_for_status() and None
        finally:
            for run in api.get(f"/api/v2/dags/{PAUSED}/dagRuns", params={"state": "queued"}).json()["dag_runs"]:
                api.delete(f"/api/v2/dags/{PAUSED}/dagRuns/{run['dag_run_id']}")
            pause(False)


# --- trigger and wait


def test_a_run_is_triggered_and_waited_for_later(caller: Shell, airflow: LocalAirflow) -> None:
    """Its id and its page come out; ``wait`` takes up where ``trigger`` left; the same again is the same run."""
    done = caller("trigger", "bare_usual", "--run-id", "cli_1", "--conf", "seconds=0")
    assert (done.returncode, done.stdout) == (0, f"cli_1  {airflow.url}/dags/bare_usual/runs/cli_1\n"), done.stderr
    again = json.loads(caller("trigger", "bare_usual", "--run-id", "cli_1", "--conf", "seconds=0", "--json").stdout)
    assert (again["dag_id"], again["run_id"]) == ("bare_usual", "cli_1")
    waited = caller("wait", "bare_usual", "cli_1")
    assert (waited.returncode, waited.stdout) == (0, ""), waited.stderr
    assert "run cli_1 of bare_usual succeeded" in waited.stderr


def test_the_result_of_a_dag_is_all_that_is_printed(caller: Shell) -> None:
    """By ``/wait``, which Airflow has from 3.1 on."""
    done = caller("trigger", "declared_result", "--wait", "--timeout", "100")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is not None
    assert "declared_result ringback__" in done.stderr


def test_a_run_that_fails_has_an_exit_code_of_its_own(caller: Shell) -> None:
    """With everything that is known, for programs."""
    done = caller("trigger", "failing", "--wait", "--json")
    assert done.returncode == 3, done.stderr
    said = json.loads(done.stdout)
    assert (said["state"], said["exit_code"], said["dag_id"]) == ("failed", 3, "failing")


def test_the_run_rings_back(caller: Shell, airflow: LocalAirflow, receiver_port: int) -> None:
    """Into the command's own receiver, whose keys are Airflow's word; the result is in the event."""
    address = f"127.0.0.1:{receiver_port}"
    done = caller(
        *("trigger", "sales_report", "--conf", "region=APAC", "--wait", "--json", "--discover", airflow.url),
        *("--callback-url", f"http://{address}/from/airflow", "--listen", address),
        RINGBACK_KEYS="",
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["reported_by"], said["result"]["region"], said["state"]) == ("task", "APAC", "success")


def test_waiting_ends_in_other_ways_too(caller: Shell, paused: Callable[[str], None]) -> None:
    """The time is up; the run is deleted; somebody types Ctrl-C: each has its code, and says what is to be done."""
    done = caller("trigger", PAUSED, "--run-id", "cli_queued", "--wait", "--timeout", "1")
    assert done.returncode == 4
    assert f"wait again with `ringback wait {PAUSED} cli_queued`" in done.stderr
    with caller.background("wait", PAUSED, "cli_queued", until="queued") as waiting:
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=60)
        assert waiting.returncode == 130, said
        assert "goes on: wait again with `ringback wait" in said
        assert "Traceback" not in said
    with caller.background("wait", PAUSED, "cli_queued", "--json", until="queued") as waiting:
        paused("cli_queued")
        out, said = waiting.communicate(timeout=60)
        assert (waiting.returncode, json.loads(out)["state"]) == (5, "deleted"), said


def test_what_airflow_refuses_is_told(caller: Shell, airflow: LocalAirflow) -> None:
    """No such DAG, a wrong password; and an Airflow that is not there."""
    for arguments, variables, code, said in (
        (("no_such_dag",), {}, 1, "no_such_dag"),
        (("sales_report",), {"RINGBACK_AIRFLOW_PASSWORD": "wr0ng"}, 1, "refuses the credentials of user 'admin'"),
        (("sales_report", "--airflow", "http://127.0.0.1:1"), {}, 6, "Airflow cannot be reached"),
    ):
        done = caller("trigger", *arguments, **variables)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert airflow.password not in done.stderr


# --- events


def test_events_are_shown_sent_and_verified_again(
    caller: Shell, airflow: LocalAirflow, key: PrivateKey, receiver_port: int, folder: Path
) -> None:
    """A run of Airflow's and a test event come in at ``listen``; what it prints, ``verify`` believes."""
    url = f"http://127.0.0.1:{receiver_port}/hook"
    (folder / "signing.key").write_text(key.reveal(), encoding="utf-8")
    listening = ("listen", "--listen", f"127.0.0.1:{receiver_port}", "--url", url, "--json")
    with caller.background(*listening, until="listening on") as listener:
        triggered = caller("trigger", "sales_report", "--run-id", "cli_rings", "--callback-url", url)
        assert triggered.returncode == 0, triggered.stderr
        sent = caller("send", url, "--key-file", "signing.key", "--dag-id", "by_hand", "--result", '{"rows": 3}')
        assert (sent.returncode, sent.stdout.splitlines()[1:]) == (0, ["answer: 204", "the notifier: delivered"])
        assert listener.stdout is not None
        lines = [listener.stdout.readline() for _ in range(2)]
        listener.send_signal(signal.SIGINT)
        assert listener.wait(60) == 0
    seen = {line["dag_id"]: line for line in map(json.loads, lines)}
    assert seen["sales_report"]["run_id"] == "cli_rings"
    assert {line["verdict"] for line in seen.values()} == {"verified"}
    verified = caller("verify", "--url", url, given="".join(lines))
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.count("\nverified\n") == 2
    elsewhere = caller("verify", "--url", f"{url}/elsewhere", given="".join(lines))
    assert elsewhere.returncode == 1
    assert elsewhere.stdout.count("refused: wrong_audience") == 2


# --- keys


def test_keys_are_made_shown_and_changed(caller: Shell) -> None:
    """From nothing to a rotation that is over, each command fed with what the one before has printed."""
    made = json.loads(caller("keys", "new", "--json").stdout)
    public = json.loads(caller("keys", "public", "--json", given=made["signing_key"]).stdout)
    assert public["verification_keys"] == [made["verification_key"]]
    rotated = json.loads(caller("keys", "rotate", "--json", given=json.dumps(made["connection"])).stdout)
    assert rotated["verification_keys"][1:] == public["verification_keys"]
    finished = json.loads(caller("keys", "rotate", "--finish", "--json", given=rotated["password"]).stdout)
    assert finished["verification_keys"] == rotated["verification_keys"][:1]


# --- the relay, the outbox, the store


def test_the_relay_and_its_outbox(beside_airflow: Shell, outbox_url: str) -> None:
    """A new outbox is made, a relay runs on it; an event is found, shown, sent again, and what is over is deleted."""
    migrated = beside_airflow("outbox", "migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "The outbox is up to date.\n"), migrated.stderr
    relayed = beside_airflow("relay", "--for", "1")
    assert relayed.returncode == 0, relayed.stderr
    assert len(json.loads(beside_airflow("relay", "status", "--json").stdout)["relays"]) == 1
    with contextlib.closing(Outbox.open(outbox_url, wait=10)) as outbox:
        long_ago = time.time() - 40 * 86_400
        for number in (1, 2):
            event = OutboxEvent(
                event_id=f"msg_{number}",
                dag_id="by_hand",
                run_id=f"r{number}",
                state="success",
                destination="default",
                url="https://portal.example/hook?token=hush",
                body=b"{}",
                reported_by="relay",
                ended_at=long_ago,
            )
            outbox.record(event, [], status="gone", due_at=long_ago, now=long_ago)
    listed = json.loads(beside_airflow("outbox", "list", "--dag-id", "by_hand", "--json").stdout)["events"]
    assert {(event["event_id"], event["status"]) for event in listed} == {("msg_1", "gone"), ("msg_2", "gone")}
    shown = beside_airflow("outbox", "show", "msg_1")
    assert (shown.returncode, "hush" in shown.stdout) == (0, False), shown.stderr
    again = beside_airflow("outbox", "redeliver", "msg_1", "--yes")
    assert again.stdout == "1 event is due again; a relay delivers them.\n", again.stderr
    purged = beside_airflow("outbox", "purge", "--before", "30d", "--yes", "--json")
    assert json.loads(purged.stdout) == {"events": 1}, purged.stderr


def test_the_store_and_its_requests(caller: Shell, postgres: LocalPostgres) -> None:
    """A new store is made, and nobody waits in it."""
    store = {"RINGBACK_STORE": postgres.create("cli_store")}
    assert caller("store", "migrate", **store).stdout == "The store is up to date.\n"
    assert json.loads(caller("store", "migrate", "--json", **store).stdout) == {"up_to_date": True}
    assert json.loads(caller("pending", "list", "--json", **store).stdout) == {"requests": [], "handlers": []}
    assert caller("pending", "show", "req_1", **store).returncode == 1
    assert caller("pending", "cancel", "req_1", **store).stdout == "req_1: unknown\n"
    assert caller("pending", "retry", "--all", **store).stdout == "0 calls of handlers are due now.\n"


# --- doctor


def test_the_doctor_beside_airflow(beside_airflow: Shell, caller: Shell, receiver_port: int, outbox_url: str) -> None:
    """What is set up is fine, what is not is named."""
    migrate(outbox_url)
    with contextlib.closing(Outbox.open(outbox_url, wait=10)) as outbox:
        outbox.take_duty("relay/doctor", "doctor", now=time.time(), until=time.time() + 600)
    url = f"http://127.0.0.1:{receiver_port}/hook"
    with caller.background("listen", "--listen", f"127.0.0.1:{receiver_port}", "--url", url, until="listening on"):
        done = beside_airflow(
            *("doctor", "--receiver", url, "--destination", "default", "--destination", "nobody", "--json")
        )
    said = json.loads(done.stdout)
    found = {(finding["subject"], finding["status"]) for finding in said["findings"]}
    assert {
        ("[ringback]", "ok"),
        ("listener", "ok"),
        ("connection ringback_default", "ok"),
        ("connection ringback_nobody", "problem"),
        ("outbox", "ok"),
        ("relay", "ok"),
        ("connection ringback_airflow", "ok"),
        ("clock", "ok"),
        (f"receiver {url}", "ok"),
        ("name", "warning"),  # Airflow's address is one of this machine alone
    } <= found, said
    assert (done.returncode, said["healthy"]) == (1, False)
    problems = [finding["saw"] for finding in said["findings"] if finding["status"] == "problem"]
    assert [saw.partition(";")[0] for saw in problems] == ["there is no Airflow connection ringback_nobody"]


def test_the_doctor_at_the_caller(caller: Shell, airflow: LocalAirflow, folder: Path) -> None:
    """Airflow's API, its clock, its published keys."""
    said = json.loads(caller("doctor", "--discover", airflow.url, "--json").stdout)
    found = {finding["subject"]: finding for finding in said["findings"] if finding["section"] == "Caller"}
    assert {subject: finding["status"] for subject, finding in found.items()} == {
        "Airflow's API": "ok",
        "clock": "ok",
        "published keys": "ok",
    }, found
