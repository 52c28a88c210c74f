"""The pure core of the Airflow client: what it asks for, and what it makes of the answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_receiver import _airflow_errors as errors
from ringback_receiver._airflow_answers import details, error_of
from ringback_receiver._airflow_api import AirflowApi
from ringback_receiver._airflow_token import TokenSource, credentials_of, lifetime
from ringback_receiver._airflow_wire import Ask, Exclusive, Request, Response, Secret, Sleep, path

LOST = errors.AirflowUnreachable("gone")
RUN = {"dag_run_id": "r1", "dag_id": "sales", "state": "queued", "conf": {"a": 1}, "logical_date": None}
WHEN = datetime(2026, 7, 2, tzinfo=timezone.utc)


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def answer(status: int, body: object = None, **headers: str) -> Response:
    return Response(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=b"" if body is None else json.dumps(body).encode(),
    )


def run_in(state: str, **changes: object) -> Response:
    return answer(200, {**RUN, "state": state, **changes})


NO_RUN = answer(404, {"detail": "The DagRun with dag_id: `sales` and run_id: `r1` was not found"})
NO_VARIABLE = answer(404, {"detail": "The Variable with key: `k` was not found"})
TAKEN = answer(409, {"detail": {"reason": "Unique constraint violation", "message": "Serious error"}})


class Clock:
    """Time that passes only while the core sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Player:
    """A driver that plays answers from a list and remembers what was asked."""

    def __init__(self, *replies: Response | Exception, clock: Clock | None = None, chance: float = 0.0) -> None:
        self.clock = clock or Clock()
        self.replies: Iterator[Response | Exception] = iter(replies)
        self.requests: list[Request] = []
        self.sleeps: list[float] = []
        self.api = AirflowApi(
            "https://airflow.example/x",
            TokenSource(token=Secret("t0k3n")),
            monotonic=self.clock,
            wall=lambda: WHEN.timestamp(),
            chance=lambda: chance,
            entropy=lambda n: b"\x07" * n,
        )

    def play(self, operation: Generator[Any, Any, Any]) -> Any:
        reply: Any = None
        failure: Exception | None = None
        while True:
            try:
                command = operation.throw(failure) if failure else operation.send(reply)
            except StopIteration as done:
                return done.value
            reply = failure = None
            if isinstance(command, Sleep):
                self.sleeps.append(command.seconds)
                self.clock.now += command.seconds
            elif isinstance(command, Exclusive):
                try:
                    reply = self.play(command.operation)
                except errors.AirflowError as error:
                    failure = error
            elif isinstance(command, Ask):
                reply = command.provider()
            else:
                self.requests.append(command)
                got = next(self.replies)
                if isinstance(got, Exception):
                    failure = got
                else:
                    reply = got

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


# --- trigger


def test_a_trigger_sends_a_null_logical_date() -> None:
    """Airflow requires logical_date in the body, so it is sent even when there is none."""
    player = Player(run_in("queued"))
    run = player.play(player.api.trigger("sales", run_id="r1", conf={"a": 1}))
    assert player.requests[0].json == {"dag_run_id": "r1", "logical_date": None, "conf": {"a": 1}}
    assert run.run_id == "r1"
    assert run.run_url == "https://airflow.example/x/dags/sales/runs/r1"


def test_a_trigger_passes_on_note_and_logical_date() -> None:
    """Note and logical date reach Airflow as it expects them."""
    player = Player(run_in("queued"))
    player.play(player.api.trigger("sales", run_id="r1", logical_date=WHEN, note="by hand"))
    assert player.requests[0].json["logical_date"] == "2026-07-02T00:00:00+00:00"
    assert player.requests[0].json["note"] == "by hand"


def test_a_trigger_without_run_id_makes_one() -> None:
    """A made-up run id sorts by time, so that a lost answer can be asked for again."""
    player = Player(run_in("queued"))
    player.play(player.api.trigger("sales"))
    assert player.requests[0].json["dag_run_id"] == "ringback__20260702T000000.000000Z_0707070707070707"


@pytest.mark.parametrize("run_id", ["", "a b", "a/b", "ü", "a\n", "a%20b"])
def test_a_run_id_that_airflow_forbids_is_refused_before_sending(run_id: str) -> None:
    """A run id outside Airflow's pattern is a clear error, not a 400 from afar."""
    player = Player()
    with pytest.raises(errors.AirflowUsageError, match="run_id") as caught:
        player.play(player.api.trigger("sales", run_id=run_id))
    assert caught.value.reason == "bad_identifier"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("dag_id", ["", ".", ".."])
def test_a_dot_segment_is_no_identifier(dag_id: str) -> None:
    """A dot segment would address another resource, so it is refused."""
    player = Player()
    with pytest.raises(errors.AirflowUsageError, match="dag_id"):
        player.play(player.api.trigger(dag_id))


def test_parts_of_a_path_are_quoted() -> None:
    """What could end a path segment is percent-encoded."""
    assert path("/x/{key}", key="a/b?c#d+e:f g") == "/x/a%2Fb%3Fc%23d%2Be%3Af%20g"


def test_a_logical_date_needs_a_time_zone() -> None:
    """A naive logical date is refused before sending."""
    player = Player()
    with pytest.raises(errors.AirflowUsageError, match="time zone"):
        player.play(player.api.trigger("sales", logical_date=datetime(2026, 7, 2)))


@pytest.mark.parametrize("conf", [{"a": float("nan")}, {"a": object()}])
def test_a_conf_that_is_no_json_is_refused(conf: dict[str, Any]) -> None:
    """A conf that JSON cannot hold is a clear error before sending."""
    player = Player()
    with pytest.raises(errors.AirflowUsageError, match="conf"):
        player.play(player.api.trigger("sales", conf=conf))


def test_a_lost_trigger_is_sent_again_and_its_run_recognised() -> None:
    """When the answer got lost but the run was created, the 409 of the retry leads to that run."""
    player = Player(LOST, TAKEN, run_in("running"))
    run = player.play(player.api.trigger("sales", run_id="r1", conf={"a": 1}))
    assert run.state == "running"
    assert player.sent[-2:] == ["POST /api/v2/dags/sales/dagRuns", "GET /api/v2/dags/sales/dagRuns/r1"]
    assert player.sleeps == [0.5]


def test_a_trigger_gives_up_after_three_attempts_and_names_the_run() -> None:
    """Retries are bounded, and the error holds the run id that may exist."""
    player = Player(LOST, answer(503), LOST)
    with pytest.raises(errors.AirflowUnreachable) as caught:
        player.play(player.api.trigger("sales", run_id="r1"))
    assert caught.value.run_id == "r1"
    assert player.sleeps == [0.5, 1.0]


REFUSALS = [
    pytest.param([answer(401)], errors.AirflowAuthError, 401, id="401"),
    pytest.param([answer(403, {"detail": "Forbidden"})], errors.AirflowAuthError, 403, id="403"),
    pytest.param([answer(422, {"detail": "no"})], errors.AirflowRequestRejected, 422, id="422"),
    pytest.param([answer(404, {"detail": "Dag sales not found"})], errors.DagNotFound, 404, id="no DAG"),
    pytest.param([answer(404)], errors.AirflowProtocolError, 404, id="a proxy's 404"),
    pytest.param([TAKEN, answer(401)], errors.AirflowAuthError, 401, id="409, then 401"),
    pytest.param([TAKEN, answer(403, {"detail": "Forbidden"})], errors.AirflowAuthError, 403, id="409, then 403"),
    pytest.param([TAKEN, answer(404)], errors.AirflowProtocolError, 404, id="409, then a proxy's 404"),
]


@pytest.mark.parametrize("lost", [LOST, answer(502)], ids=["no answer", "a proxy's answer"])
@pytest.mark.parametrize(("replies", "refusal", "status"), REFUSALS)
def test_a_refusal_after_a_lost_trigger_does_not_say_that_there_is_no_run(
    lost: Response | Exception, replies: list[Response], refusal: type[Exception], status: int
) -> None:
    """The lost attempt may have created the run, and the refusal is only about a later one."""
    player = Player(lost, *replies)
    with pytest.raises(errors.AirflowUnreachable, match="run 'r1' may exist") as caught:
        player.play(player.api.trigger("sales", run_id="r1"))
    assert (caught.value.reason, caught.value.status, caught.value.run_id) == ("unconfirmed", status, "r1")
    assert type(caught.value.__cause__) is refusal


@pytest.mark.parametrize("replies", [[], [answer(429)]], ids=["at once", "after it was throttled"])
@pytest.mark.parametrize(("refusals", "refusal", "status"), REFUSALS)
def test_a_refusal_of_the_only_trigger_stays_what_it_is(
    replies: list[Response], refusals: list[Response], refusal: type[Exception], status: int
) -> None:
    """When nothing was lost, Airflow's word stands."""
    player = Player(*replies, *refusals)
    with pytest.raises(refusal) as caught:
        player.play(player.api.trigger("sales", run_id="r1"))
    assert type(caught.value) is refusal


def test_a_lost_login_has_created_no_run() -> None:
    """When only the request for a token got no answer, a later refusal is definite."""
    player = Player(errors.AirflowUnreachable("login gone"), answer(403))
    player.api = AirflowApi(
        "https://airflow.example", credentials_of("portal", "hush", None), monotonic=player.clock, chance=lambda: 0.0
    )
    with pytest.raises(errors.AirflowAuthError) as caught:
        player.play(player.api.trigger("sales", run_id="r1"))
    assert caught.value.reason == "credentials_refused"


def test_another_run_after_a_lost_trigger_is_a_conflict() -> None:
    """Airflow was asked, and showed that the run is not ours."""
    player = Player(LOST, TAKEN, run_in("running", conf={"a": 2}))
    with pytest.raises(errors.RunConflict):
        player.play(player.api.trigger("sales", run_id="r1", conf={"a": 1}))


def test_a_check_without_an_answer_names_the_run() -> None:
    """The run id is taken, but by whom is not known."""
    player = Player(TAKEN, answer(503))
    with pytest.raises(errors.AirflowUnreachable) as caught:
        player.play(player.api.trigger("sales", run_id="r1"))
    assert (caught.value.reason, caught.value.run_id) == ("server_error", "r1")


def test_retry_after_is_honoured_within_bounds() -> None:
    """A throttled trigger waits as long as Airflow asks, but not for an hour."""
    player = Player(answer(429, retry_after="4"), answer(429, retry_after="3600"), run_in("queued"))
    player.play(player.api.trigger("sales", run_id="r1"))
    assert player.sleeps == [4.0, 10.0]


@pytest.mark.parametrize("stored", [{"conf": {"a": 2}}, {"logical_date": "2026-07-02T00:00:00Z"}])
def test_a_run_id_taken_by_another_run_is_a_conflict(stored: dict[str, Any]) -> None:
    """The same run id with another conf or logical date is not our run."""
    player = Player(TAKEN, run_in("running", **stored))
    with pytest.raises(errors.RunConflict) as caught:
        player.play(player.api.trigger("sales", run_id="r1", conf={"a": 1}))
    assert (caught.value.reason, caught.value.status) == ("run_conflict", 409)


def test_a_taken_logical_date_is_a_conflict() -> None:
    """A 409 without a run of our id means that another run has the logical date."""
    player = Player(TAKEN, NO_RUN)
    with pytest.raises(errors.RunConflict) as caught:
        player.play(player.api.trigger("sales", run_id="r1", logical_date=WHEN))
    assert caught.value.reason == "logical_date_taken"


def test_the_same_moment_in_another_zone_is_the_same_logical_date() -> None:
    """Logical dates are compared as moments."""
    player = Player(TAKEN, run_in("queued", conf=None, logical_date="2026-07-02T00:00:00Z"))
    there = WHEN.astimezone(timezone(timedelta(hours=2)))
    assert player.play(player.api.trigger("sales", run_id="r1", logical_date=there)).run_id == "r1"


# --- answers


def test_a_validation_error_names_the_fields() -> None:
    """FastAPI's 422 becomes one line for each field."""
    body = {
        "detail": [
            {"type": "missing", "loc": ["body", "logical_date"], "msg": "Field required", "input": {"p": "hush"}},
            {"type": "x", "loc": ["body", "conf", "a", 0], "msg": "Input should be a valid string"},
            {"type": "x", "loc": ["body"], "msg": "Bad"},
            {"type": "x", "loc": [], "msg": "Worse"},
            "nonsense",
        ]
    }
    player = Player(answer(422, body))
    with pytest.raises(errors.AirflowRequestRejected) as caught:
        player.play(player.api.trigger("sales", run_id="r1"))
    assert caught.value.details == (
        "logical_date: Field required",
        "conf.a.0: Input should be a valid string",
        "body: Bad",
        "Worse",
    )
    assert "logical_date: Field required\n" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_wrong_param_is_explained_by_its_first_paragraph() -> None:
    """The error of a DAG param keeps its sentence and drops the schema dump."""
    detail = "Invalid input for param region: 'MARS' is not one of\n ['APAC']\n\nFailed validating 'enum'"
    assert details(answer(400, {"detail": detail})) == (
        "Invalid input for param region: 'MARS' is not one of ['APAC']",
    )


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b'{"detail": 7}', b'{"detail": {"x": 1}}', b'{"detail": "\xff"}', b"[" * 9_999]
)
def test_an_answer_that_explains_nothing_has_no_details(body: bytes) -> None:
    """Whatever a proxy answers, an error is made of it."""
    response = Response(status=400, body=body)
    assert details(response) == ()
    assert str(error_of(Request(method="GET", path="/p"), response)) == "GET /p was answered 400 Bad Request"


@pytest.mark.parametrize(
    ("response", "kind", "reason"),
    [
        (answer(302, location="https://login.example"), errors.AirflowProtocolError, "redirected"),
        (answer(405), errors.AirflowProtocolError, "unexpected_answer"),
        (answer(204), errors.AirflowProtocolError, "unexpected_answer"),
        (answer(299), errors.AirflowProtocolError, "unexpected_answer"),
        (answer(200, {"state": "queued"}), errors.AirflowProtocolError, "unexpected_answer"),
        (Response(status=200, body=b'{"state": "\xff"}'), errors.AirflowProtocolError, "unexpected_answer"),
        (Response(status=200, body=b'{"conf": ' + b"[" * 9_999), errors.AirflowProtocolError, "unexpected_answer"),
        (Response(status=200, body=b"<!doctype html>"), errors.AirflowProtocolError, "unexpected_answer"),
        (answer(403, {"detail": "Forbidden"}), errors.AirflowAuthError, "forbidden"),
        (answer(400, {"detail": "no"}), errors.AirflowRequestRejected, "rejected"),
        (answer(500), errors.AirflowUnreachable, "server_error"),
        (answer(429, retry_after="soon"), errors.AirflowUnreachable, "throttled"),
        (NO_RUN, errors.RunNotFound, "run_not_found"),
    ],
)
def test_each_answer_has_its_error(response: Response, kind: type[Exception], reason: str) -> None:
    """Every answer that is not a run becomes one error with a reason."""
    player = Player(response)
    with pytest.raises(kind) as caught:
        player.play(player.api.get_run("sales", "r1"))
    assert type(caught.value) is kind
    assert getattr(caught.value, "reason", None) == reason


@pytest.mark.parametrize(
    "body",
    [b"<html>404</html>", b'{"detail":"Not Found"}', b'{"error":"API route not found"}', b'{"detail":"r12 gone"}'],
)
def test_a_404_that_does_not_name_the_run_does_not_say_that_it_is_gone(body: bytes) -> None:
    """A proxy's 404 must not pass for Airflow's word that a run was deleted."""
    player = Player(Response(status=404, body=body))
    with pytest.raises(errors.AirflowProtocolError, match="base URL"):
        player.play(player.api.get_run("sales", "r1"))


def test_a_missing_dag_is_named() -> None:
    """Triggering a DAG that is not there says so."""
    player = Player(answer(404, {"detail": "Dag with dag_id: 'sales' not found"}))
    with pytest.raises(errors.DagNotFound, match="sales"):
        player.play(player.api.trigger("sales"))


def test_members_that_a_newer_airflow_adds_are_ignored() -> None:
    """A run is decoded leniently."""
    player = Player(run_in("success", novelty={"x": 1}, conf=None))
    run = player.play(player.api.get_run("sales", "r1"))
    assert run.finished
    assert run.succeeded
    assert run.conf is None


# --- tokens


@pytest.mark.parametrize(
    ("token", "seconds"),
    [
        (jwt(exp=1000 + 86400, iat=1000), 86400 - 60),  # a day: a minute in reserve
        (jwt(exp=1020, iat=1000), 18),  # short: a tenth
        (jwt(exp=9020, iat=9000), 18),  # the local clock is slow
        (jwt(exp=120, iat=100), 18),  # the local clock is fast
        (jwt(exp=1010, iat=900), 9),  # a provider's token, used for long
        (jwt(exp=1100), 90),
        (jwt(exp=900), 600),
        (jwt(exp=900, iat=950), 600),
        (jwt(iat=900), 600),
        (jwt(exp="soon"), 600),
        ("opaque", 600),
        ("a.###.c", 600),
        ("a.AAAA.c", 600),
    ],
)
def test_how_long_a_token_is_used(token: str, seconds: float) -> None:
    """The lifetime comes from the server's own clock, with a reserve; garbage gets ten minutes."""
    assert lifetime(token, now=1000) == pytest.approx(seconds)


@given(st.text())
def test_any_text_has_a_lifetime(token: str) -> None:
    """Nothing that a token may hold upsets the reading of its lifetime."""
    assert lifetime(token, now=0) > 0
    assert lifetime(f"a.{token}.c", now=0) > 0


def logging_in(player: Player, password: str | Callable[[], str] = "hush") -> None:
    player.api = AirflowApi(
        "https://airflow.example",
        credentials_of("portal", password, None),
        monotonic=player.clock,
        wall=lambda: 1000.0,
    )


def issued(name: str, seconds: int = 100) -> Response:
    token = f"{name}{jwt(exp=1000 + seconds, iat=1000)}"
    return answer(201, {"access_token": token})


def test_a_token_is_used_until_shortly_before_it_expires() -> None:
    """One login serves many requests; before the token expires there is another."""
    player = Player(issued("A"), run_in("queued"), run_in("queued"), issued("B"), run_in("queued"))
    logging_in(player)
    player.play(player.api.get_run("sales", "r1"))
    player.clock.now = 89
    player.play(player.api.get_run("sales", "r1"))
    player.clock.now = 91
    player.play(player.api.get_run("sales", "r1"))
    assert [request.path for request in player.requests].count("/auth/token") == 2
    assert player.requests[0].json == {"username": "portal", "password": "hush"}
    used = player.requests[-1].token
    assert used is not None
    assert used.value.startswith("B")


@pytest.mark.parametrize("refusal", [answer(401), answer(403, {"detail": "Invalid JWT token"})])
def test_a_refused_token_is_replaced_once(refusal: Response) -> None:
    """An expired token (401), or one of a former signing key (403), costs one more login."""
    player = Player(issued("A"), refusal, issued("B"), run_in("queued"))
    logging_in(player)
    assert player.play(player.api.get_run("sales", "r1")).state == "queued"


def test_a_fresh_token_that_is_refused_is_an_error() -> None:
    """After one new token there is no second."""
    player = Player(issued("A"), answer(401), issued("B"), answer(401, {"detail": "Not authenticated"}))
    logging_in(player)
    with pytest.raises(errors.AirflowAuthError) as caught:
        player.play(player.api.get_run("sales", "r1"))
    assert (caught.value.reason, caught.value.status) == ("unauthorized", 401)


def test_a_plain_forbidden_asks_for_no_other_token() -> None:
    """A 403 for want of permission is no reason to log in again."""
    player = Player(issued("A"), answer(403, {"detail": "Forbidden"}))
    logging_in(player)
    with pytest.raises(errors.AirflowAuthError, match="Forbidden"):
        player.play(player.api.get_run("sales", "r1"))


def test_a_fixed_token_that_is_refused_is_not_sent_again() -> None:
    """There is nothing else to try."""
    player = Player(answer(401, {"detail": "Token Expired"}))
    with pytest.raises(errors.AirflowAuthError, match="Token Expired"):
        player.play(player.api.get_run("sales", "r1"))
    assert len(player.requests) == 1


@pytest.mark.parametrize(
    ("response", "kind", "reason"),
    [
        (answer(401, {"detail": "Invalid credentials"}), errors.AirflowAuthError, "credentials_refused"),
        (answer(403, {"detail": "hush"}), errors.AirflowAuthError, "credentials_refused"),
        (answer(422, {"detail": "input_value={'password': 'hush'}"}), errors.AirflowProtocolError, None),
        (answer(302), errors.AirflowProtocolError, "redirected"),
        (answer(404), errors.AirflowProtocolError, None),
        (answer(201, {"token": "hush"}), errors.AirflowProtocolError, None),
        (answer(503), errors.AirflowUnreachable, "server_error"),
        (answer(201, {"access_token": "hush hush"}), errors.AirflowAuthError, "bad_token"),
    ],
)
def test_a_failed_login_repeats_nothing(
    response: Response, kind: type[errors.AirflowError], reason: str | None
) -> None:
    """Airflow's explanation of a failed login may quote the password, so it is not repeated."""
    player = Player(response)
    logging_in(player)
    with pytest.raises(kind) as caught:
        player.play(player.api.get_run("sales", "r1"))
    assert "hush" not in str(caught.value)
    assert caught.value.reason == (reason or "unexpected_answer")


def test_a_provider_is_asked_only_when_a_token_is_needed() -> None:
    """The password's callable runs at login, not for each request."""
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        return "hush"

    player = Player(issued("A"), run_in("queued"), run_in("queued"))
    logging_in(player, password)
    player.play(player.api.get_run("sales", "r1"))
    player.play(player.api.get_run("sales", "r1"))
    assert len(asked) == 1


def test_a_token_provider_may_leave_a_newline() -> None:
    """A token that was read from a file is taken without the white space around it."""
    player = Player(run_in("queued"))
    player.api = AirflowApi("https://a", credentials_of(None, None, lambda: "t0k3n\n"))
    player.play(player.api.get_run("sales", "r1"))
    assert player.requests[0].token == Secret("t0k3n")


@pytest.mark.parametrize("value", [None, "", 7])
def test_a_provider_that_gives_no_string_is_named(value: Any) -> None:
    """A provider without a token is an error that says so."""
    player = Player()
    player.api = AirflowApi("https://a", credentials_of(None, None, lambda: value))
    with pytest.raises(errors.AirflowAuthError, match="token provider"):
        player.play(player.api.get_run("sales", "r1"))


@pytest.mark.parametrize(
    ("username", "password", "token"),
    [
        (None, None, None),
        ("u", None, None),
        (None, "p", None),
        ("u", "p", "t"),
        ("u", None, "t"),
        ("u", "", None),
        (None, None, ""),
        (None, None, 7),
    ],
)
def test_credentials_are_one_of_two_kinds(username: Any, password: Any, token: Any) -> None:
    """Half of the credentials, both kinds at once and empty ones are refused at construction."""
    with pytest.raises(errors.AirflowUsageError) as caught:
        credentials_of(username, password, token)
    assert caught.value.reason == "bad_credentials"


# --- waiting


def test_polling_slows_down_to_a_limit() -> None:
    """Each pause is half as long again, up to the longest."""
    player = Player(*[run_in("running")] * 6, run_in("success"))
    run = player.play(player.api.wait_for_run("sales", "r1", timeout=100, max_poll_interval=3))
    assert run.succeeded
    assert player.sleeps == [1.0, 1.5, 2.25, 3, 3, 3]


def test_polling_is_jittered() -> None:
    """Many callers do not ask in step: up to a quarter is taken off a pause."""
    player = Player(run_in("running"), run_in("success"), chance=1.0)
    player.play(player.api.wait_for_run("sales", "r1", timeout=100))
    assert player.sleeps == [0.75]


def test_polling_outlives_an_airflow_that_is_away() -> None:
    """Lost connections, 5xx, 429 and a proxy's error page are survived; Retry-After is honoured."""
    astray = Response(status=404, body=b"default backend")
    player = Player(LOST, answer(502), run_in("running"), astray, answer(429, retry_after="7"), run_in("success"))
    assert player.play(player.api.wait_for_run("sales", "r1", timeout=100)).succeeded
    assert player.sleeps == [1.0, 1.5, 2.25, 3.375, 7.0]


def test_a_wrong_base_url_is_not_waited_for() -> None:
    """What never answered as Airflow does will not come to do so."""
    player = Player(Response(status=200, body=b"<html>"))
    with pytest.raises(errors.AirflowProtocolError):
        player.play(player.api.wait_for_run("sales", "r1", timeout=100))


def test_a_run_that_does_not_end_in_time_is_carried_by_the_error() -> None:
    """The last look is at the deadline, and the error holds what was seen."""
    player = Player(run_in("queued"), run_in("running"), run_in("running"))
    with pytest.raises(errors.WaitTimeout) as caught:
        player.play(player.api.wait_for_run("sales", "r1", timeout=2))
    assert player.sleeps == [1.0, 1.0]
    assert caught.value.run is not None
    assert caught.value.run.state == "running"
    assert isinstance(caught.value, TimeoutError)


def test_a_run_that_was_never_seen_is_none() -> None:
    """An Airflow that was away all the time leaves no run, but a cause."""
    player = Player(LOST, LOST)
    with pytest.raises(errors.WaitTimeout) as caught:
        player.play(player.api.wait_for_run("sales", "r1", timeout=1))
    assert caught.value.run is None
    assert caught.value.__cause__ is LOST


def test_a_failed_run_is_carried_by_the_error() -> None:
    """A run that failed is an error that holds the run and links to it."""
    player = Player(run_in("queued"), run_in("failed"))
    with pytest.raises(errors.RunFailed, match="runs/r1") as caught:
        player.play(player.api.trigger_and_wait("sales", run_id="r1", timeout=10))
    assert caught.value.run.state == "failed"


def test_a_retried_trigger_of_a_finished_run_does_not_wait() -> None:
    """When our run has ended already, there is nothing to poll."""
    player = Player(TAKEN, run_in("success", conf={}))
    assert player.play(player.api.trigger_and_wait("sales", run_id="r1", timeout=10)).succeeded
    assert player.sleeps == []


def test_a_deleted_run_ends_the_wait() -> None:
    """A run that Airflow no longer knows is not waited for."""
    player = Player(run_in("running"), NO_RUN)
    with pytest.raises(errors.RunNotFound):
        player.play(player.api.wait_for_run("sales", "r1", timeout=10))


@pytest.mark.parametrize(
    "times",
    [
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": 1, "poll_interval": 0},
        {"timeout": 1, "poll_interval": 9, "max_poll_interval": 8},
    ],
)
def test_impossible_times_are_refused_before_the_trigger(times: dict[str, Any]) -> None:
    """A wait that could not end, or would never pause, starts no run."""
    player = Player()
    with pytest.raises(errors.AirflowUsageError):
        player.play(player.api.trigger_and_wait("sales", **times))


# --- DAGs and variables


@pytest.mark.parametrize("paused", [True, False])
def test_pausing_changes_nothing_else(paused: bool) -> None:
    """The update mask names is_paused alone."""
    player = Player(answer(200, {}))
    player.play(player.api.set_paused("sales", paused))
    assert player.sent == ["PATCH /api/v2/dags/sales"]
    assert player.requests[0].params == {"update_mask": "is_paused"}
    assert player.requests[0].json == {"is_paused": paused}


def test_pausing_a_missing_dag_is_an_error() -> None:
    """Airflow's 404 for a DAG is DagNotFound."""
    player = Player(answer(404, {"detail": "Dag with id: sales was not found"}))
    with pytest.raises(errors.DagNotFound):
        player.play(player.api.set_paused("sales", True))


def test_a_variable_is_read() -> None:
    """A variable's value is a string."""
    player = Player(answer(200, {"key": "a/b", "value": "1"}))
    assert player.play(player.api.get_variable("a/b")) == "1"
    assert player.sent == ["GET /api/v2/variables/a%2Fb"]


def test_a_variable_that_airflow_cannot_decrypt_is_an_error() -> None:
    """No value is not the same as an empty one."""
    player = Player(answer(200, {"key": "k", "value": None}))
    with pytest.raises(errors.AirflowProtocolError):
        player.play(player.api.get_variable("k"))


def test_a_missing_variable_is_an_error() -> None:
    """Airflow's 404 for a variable is VariableNotFound."""
    player = Player(NO_VARIABLE)
    with pytest.raises(errors.VariableNotFound):
        player.play(player.api.get_variable("k"))


def test_a_variable_is_updated_without_losing_its_description() -> None:
    """Without a description the update mask names the value alone."""
    player = Player(answer(200, {}))
    player.play(player.api.set_variable("k", "1"))
    assert player.requests[0].params == {"update_mask": "value"}
    assert player.requests[0].json == {"key": "k", "value": "1"}


def test_a_missing_variable_is_created() -> None:
    """What cannot be updated is created."""
    player = Player(NO_VARIABLE, answer(201, {}))
    player.play(player.api.set_variable("k", "1", "why"))
    assert player.sent == ["PATCH /api/v2/variables/k", "POST /api/v2/variables"]
    assert player.requests[0].params == {}
    assert player.requests[1].json == {"key": "k", "value": "1", "description": "why"}


def test_a_variable_that_somebody_creates_meanwhile_is_updated() -> None:
    """A race for the first value ends with ours in place."""
    player = Player(NO_VARIABLE, answer(409, {"detail": "already exists"}), answer(200, {}))
    player.play(player.api.set_variable("k", "1"))
    assert len(player.sent) == 3


@pytest.mark.parametrize("response", [answer(404, {"detail": "Not Found"}), answer(422), answer(403)])
def test_a_variable_that_cannot_be_set_is_an_error(response: Response) -> None:
    """A refusal, or an answer of something else, is not taken for a missing variable."""
    player = Player(response)
    with pytest.raises(errors.AirflowError):
        player.play(player.api.set_variable("k", "1"))
    assert len(player.sent) == 1


def test_no_repr_shows_a_secret() -> None:
    """What the core says to its drivers can be logged."""
    request = Request(method="POST", path="/auth/token", json={"password": "hush"}, token=Secret("hush"))
    response = Response(status=201, body=b'{"access_token": "hush"}')
    assert "hush" not in repr((request, response, credentials_of("u", "hush", None)))
