"""The page's frame: who gets it, what it says of itself, and what it says when there is no outbox."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from page_world import HERE, ORDER, Browser, Manager, Put, Sign

from ringback_notifier._key_endpoint import KeyEndpoint
from ringback_notifier.outbox import Outbox
from ringback_notifier.outbox._migrate import NotMigrated
from ringback_notifier.web import _application, _assets, _entry
from ringback_notifier.web._headers import SECURITY

ASSETS = Path(_assets.__file__).parent / "assets"


@pytest.mark.parametrize(
    "path", ["", "callbacks.css", "callbacks.js", "api/deliveries", "api/deliveries/msg_a", "api/counts"]
)
@pytest.mark.parametrize("name", [None, "nobody"])
def test_nothing_is_for_those_who_are_not_signed_in(browser: Sign, put: Put, path: str, name: str | None) -> None:
    """Not even what holds no data."""
    put("a")
    answer = browser(name).ask("GET", path)
    assert answer.status_code == (401 if name is None else 403)
    assert "msg_a" not in answer.text
    assert "<html" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 200),
        ("GET", "callbacks.css", 200),
        ("GET", "api/deliveries", 200),
        ("GET", "api/deliveries?limit=0", 400),
        ("GET", "api/deliveries/msg_none", 404),
        ("GET", "nothing", 404),
        ("GET", "assets/callbacks.html", 404),
        ("DELETE", "api/deliveries", 405),
        ("POST", "api/redeliver", 403),
    ],
)
def test_every_answer_says_how_it_may_be_used(
    browser: Sign, outbox: Outbox, method: str, path: str, status: int
) -> None:
    """Errors included: nothing is kept, guessed, framed by others, or loaded from elsewhere."""
    answer = browser("admin").ask(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get_list(name) for name in SECURITY} == {
        name: [value] for name, value in SECURITY.items()
    }


def test_every_asset_is_served_as_what_it_is(browser: Sign) -> None:
    """And each module that another one wants is among them."""
    files = {path.name for path in ASSETS.iterdir()}
    assert files == {"callbacks.html", "callbacks.css", *_assets.SCRIPTS}
    for name in _assets.SCRIPTS:
        answer = browser("admin").ask("GET", name)
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert set(re.findall(r'from "\./([^"]+)"', answer.text)) <= set(_assets.SCRIPTS)
    assert browser("admin").ask("GET", "").headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("file", sorted(ASSETS.iterdir()), ids=lambda path: path.name)
def test_no_asset_turns_data_into_markup_or_asks_elsewhere(file: Path) -> None:
    """Names and answers come from strangers, and an operator's network may lead nowhere else."""
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc", text)
    assert not re.search(r"\bon[a-z]+=|javascript:|<style|style=|@import|url\(", text)
    assert set(re.findall(r"https?://[^\"' ]*", text)) <= {"https://portal.example/airflow/completions"}


def test_where_there_is_no_outbox_the_page_says_so_and_makes_none(browser: Sign, url: str, tmp_path: Path) -> None:
    """It would belong to whoever looked first."""
    admin = browser("admin")
    shown = admin.get("api/deliveries")
    assert shown["rows"] == []
    assert shown["no_outbox"] == "there is no outbox yet"
    assert admin.get("api/counts") == {"counts": {}}
    assert admin.ask("GET", "api/deliveries/msg_a").status_code == 503
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_left_alone(browser: Sign, url: str, tmp_path: Path) -> None:
    """Somebody is about to make the outbox; looking does not do it for him."""
    file = tmp_path / "ringback" / "outbox.db"
    file.parent.mkdir()
    file.touch()
    assert "no_outbox" in browser("admin").get("api/deliveries")
    assert file.stat().st_size == 0


def test_another_programs_database_is_named_in_the_log(
    browser: Sign, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to do; a viewer, who can do nothing, is not told which file it is."""
    (tmp_path / "ringback").mkdir()
    with sqlite3.connect(tmp_path / "ringback" / "outbox.db") as database:
        database.execute("CREATE TABLE theirs (id INTEGER)")
    database.close()
    answer = browser("admin").ask("GET", "api/deliveries")
    assert answer.status_code == 503
    assert "cannot be used as it is; the API server's log says why" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    assert f"{tmp_path}/ringback/outbox.db: this database is another program's; [ringback] outbox_url" in caplog.text


def test_tables_that_are_not_there_are_said_with_the_command(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """That mends it; where the tables are missing is in the log."""

    def missing(url: str, **_: Any) -> None:
        raise NotMigrated(f"outbox {url}: its tables are missing")

    monkeypatch.setattr(Outbox, "open", missing)
    app = FastAPI()
    app.mount(_entry.PREFIX, _application.application(lambda: "postgresql://ringback@db.example/ringback"))
    answer = Browser(app, "admin").ask("GET", "api/deliveries")
    assert (answer.status_code, "run `ringback outbox migrate`" in answer.text) == (503, True)
    assert "db.example" not in answer.text
    assert "db.example" in caplog.text


def test_an_outbox_that_cannot_be_reached_is_named_in_the_log_without_its_password(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    """The page answers in time, and tells a viewer neither user nor host nor database, nor what the driver says."""
    app = FastAPI()
    app.mount(_entry.PREFIX, _application.application(lambda: "postgresql://ringback:hush-hush@127.0.0.1:9/ringback"))
    started = time.monotonic()
    answer = Browser(app, "admin").ask("GET", "api/deliveries")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the outbox does not answer just now; the API server's log says why"}
    assert "ringback@127.0.0.1:9/ringback" in caplog.text
    assert "hush" not in caplog.text
    assert time.monotonic() - started < 10


def test_an_outbox_that_took_anothers_place_is_the_one_that_is_shown(
    browser: Sign, put: Put, url: str, tmp_path: Path
) -> None:
    """A file that was moved away is not read on and on."""
    put("a")
    admin = browser("admin")
    assert admin.ids() == ["msg_a"]
    (tmp_path / "ringback").rename(tmp_path / "away")
    assert "no_outbox" in admin.get("api/deliveries")
    Outbox.open(url, wait=5.0).close()
    assert admin.ids() == []


def test_what_nobody_foresaw_is_a_plain_error(
    browser: Sign, manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log, and not in the answer."""

    def fail(**_: Any) -> bool:
        raise RuntimeError("the auth manager's database is gone")

    monkeypatch.setattr(manager, "is_authorized_dag", fail)
    answer = browser("admin").ask("GET", "api/deliveries")
    assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")
    assert answer.json() == {"detail": "something went wrong; the API server's log says what"}
    assert "the auth manager's database is gone" in caplog.text


def test_the_application_is_made_when_it_is_first_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Once for all requests; and where it cannot be made it is tried again, but not for every stranger who asks."""
    made: list[int] = []

    async def hello(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    def build() -> Any:
        made.append(1)
        if len(made) == 1:
            raise ImportError("no such Airflow")
        time.sleep(0.05)
        return hello

    page = _entry.CallbacksPage(build)

    async def ask(times: int) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url=HERE) as client:
            return list(await asyncio.gather(*(client.get("/") for _ in range(times))))

    def statuses(times: int) -> list[int]:
        return [answer.status_code for answer in asyncio.run(ask(times))]

    assert made == []
    assert statuses(5) == [503] * 5
    assert statuses(5) == [503] * 5
    assert len(made) == 1
    assert "no such Airflow" in caplog.text
    assert caplog.text.count("the page Callbacks cannot be made") == 1
    (refused,) = asyncio.run(ask(1))
    assert {name: refused.headers.get_list(name) for name in SECURITY} == {
        name: [value] for name, value in SECURITY.items()
    }
    page._not_before -= _entry._AGAIN
    assert statuses(5) == [200] * 5
    assert len(made) == 2


def test_the_public_keys_stay_public_beside_it(browser: Sign, url: str) -> None:
    """Under the prefix that both share, the page is for those who are signed in, and the keys are for everybody."""
    app = FastAPI()
    app.mount(_entry.PREFIX, _entry.CallbacksPage(lambda: _application.application(lambda: url)))
    app.mount("/ringback", KeyEndpoint(["default"], lambda name: ("whpk_key",)))

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
            return (await client.get(path)).status_code

    assert asyncio.run(ask("/ringback/keys/default")) == 200
    assert asyncio.run(ask("/ringback/keys/callbacks")) == 404
    assert asyncio.run(ask("/ringback/callbacks/")) == 401
    assert asyncio.run(ask("/ringback/callbacks/api/deliveries")) == 401
    assert asyncio.run(ask("/ringback/callbacks/../keys/default")) == 200


def test_a_slow_outbox_takes_no_more_than_its_share_of_threads(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, url: str, outbox: Outbox
) -> None:
    """The rest of Airflow's API server goes on; whoever waits too long is told to come again."""
    monkeypatch.setattr(_application, "_PATIENCE", 0.2)
    at_work: list[int] = []
    most: list[int] = []

    def slow(user: Any) -> None:
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.4)
        at_work.pop()

    monkeypatch.setattr(_application, "access_of", slow)
    app = FastAPI()
    app.mount(_entry.PREFIX, _application.application(lambda: url))

    async def ask() -> list[int]:
        headers = {"authorization": "Bearer admin"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE, headers=headers) as client:
            path = f"{_entry.PREFIX}/api/deliveries"
            return [answer.status_code for answer in await asyncio.gather(*(client.get(path) for _ in range(12)))]

    statuses = asyncio.run(ask())
    assert max(most) == 4
    assert statuses.count(503) == 8
    assert statuses.count(403) == 4


def test_an_order_needs_a_session_before_anything_is_read(browser: Sign, put: Put) -> None:
    """Whatever it says."""
    put("a", "dead")
    assert browser(None).ask("POST", "api/redeliver", content=b"x", headers=ORDER).status_code == 401
