"""Asking Airflow's REST API: tokens, limits and errors."""

from __future__ import annotations

import time

import pytest
from relay_servers import FakeRun, Request, Response
from relay_world import World

from ringback_notifier.relay import _runs
from ringback_notifier.relay._errors import RunsDenied, RunsUnavailable, RunsUnreadable
from ringback_notifier.relay._runs import RunsApi

pytestmark = pytest.mark.anyio


async def test_without_credentials_the_all_admins_mode_gives_a_token(world: World) -> None:
    """The simple auth manager answers a GET, and the token is used."""
    airflow = world.airflow()

    def all_admins(request: Request) -> Response | None:
        if (request.method, request.path) != ("GET", "/auth/token"):
            return None
        airflow.tokens += 1
        return airflow._json(201, {"access_token": f"token{airflow.tokens}"})

    airflow.trouble = all_admins
    api = RunsApi(airflow.base + "/")
    found = await api.find([("sales", "ext__1")], since=0.0)
    await api.aclose()
    assert found.gone == {("sales", "ext__1")}
    assert airflow.tokens == 1


async def test_a_given_token_is_used_as_it_is(world: World) -> None:
    """Nobody logs in; when Airflow refuses the token, the error says what is missing and not the token."""
    airflow = world.airflow()
    api = RunsApi(airflow.base, token="token7")
    assert (await api.find([("sales", "ext__1")], since=0.0)).gone
    airflow.valid = 8
    with pytest.raises(RunsDenied, match="allowed to read") as caught:
        await api.find([("sales", "ext__1")], since=0.0)
    await api.aclose()
    assert "token7" not in str(caught.value)
    assert airflow.tokens == 0


async def test_one_token_serves_many_requests(world: World) -> None:
    """Requests at the same time log in once."""
    airflow = world.airflow(patterns=False)
    airflow.runs = []
    api = RunsApi(airflow.base, username="relay", password="hush")
    await api.find([("sales", f"ext__{number}") for number in range(20)], since=0.0)
    await api.aclose()
    assert airflow.tokens == 1


async def test_a_slow_answer_is_given_up(world: World) -> None:
    """The deadline is for the whole request."""
    airflow = world.airflow()
    airflow.delay = 5.0
    api = RunsApi(airflow.base, token="token1", timeout=0.2)
    started = time.monotonic()
    with pytest.raises(RunsUnavailable, match=r"no answer within 0\.2 s"):
        await api.server_time()
    await api.aclose()
    assert time.monotonic() - started < 3


async def test_a_huge_answer_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers cannot fill the memory."""
    monkeypatch.setattr(_runs, "MAX_ANSWER_BYTES", 10_000)
    airflow = world.airflow()
    airflow.trouble = lambda request: Response(status=200, body=b"x" * 50_000)
    api = RunsApi(airflow.base, token="token1")
    with pytest.raises(RunsUnreadable, match="more than 10000 bytes"):
        await api.server_time()
    await api.aclose()


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response(status=404, body=b'{"detail": "Not Found"}'), RunsUnreadable),
        (Response(status=302, headers={"location": "/login"}), RunsUnreadable),
        (Response(status=200, body=b"<html>"), RunsUnreadable),
        (Response(status=403), RunsDenied),
        (Response(status=429), RunsUnavailable),
        (Response(status=502), RunsUnavailable),
        (Response(status=0, then="reset"), RunsUnavailable),
    ],
)
async def test_whatever_is_no_list_of_runs_is_an_error(world: World, response: Response, error: type) -> None:
    """A wrong address is never taken for an Airflow without runs: hints would be dropped."""
    airflow = world.airflow()
    airflow.trouble = lambda request: response if "dagRuns" in request.path else None
    api = RunsApi(airflow.base, username="relay", password="hush")
    with pytest.raises(error, match=airflow.base):
        await api.find([("sales", "ext__1")], since=0.0)
    await api.aclose()


async def test_where_patterns_are_unknown_runs_are_asked_for_singly_from_then_on(world: World) -> None:
    """One list of arbitrary runs is enough to know."""
    airflow = world.airflow(patterns=False)
    airflow.runs += [FakeRun("other", f"x{number}", updated_at=5.0) for number in range(150)]
    airflow.runs.insert(0, FakeRun("sales", "ext__1", updated_at=5.0))
    api = RunsApi(airflow.base, username="relay", password="hush")
    for _ in range(2):
        assert ("sales", "ext__1") in (await api.find([("sales", "ext__1")], since=0.0)).runs
    await api.aclose()
    assert (len(airflow.lists()), len(airflow.singles())) == (1, 2)


@pytest.mark.parametrize(
    "given", [{"username": "relay"}, {"password": "hush"}, {"username": "a", "password": "b", "token": "c"}]
)
def test_credentials_that_make_no_sense_are_refused(given: dict[str, str]) -> None:
    """Half a log-in, or two ways at once, is a mistake of the caller."""
    with pytest.raises(ValueError, match="username and password, or token"):
        RunsApi("https://airflow.example", **given)


def test_it_shows_its_address_only() -> None:
    """Neither credentials nor a query are in its name."""
    shown = repr(RunsApi("https://me:hush@airflow.example/prefix/", token="t"))
    assert shown == "RunsApi('https://airflow.example/prefix')"
