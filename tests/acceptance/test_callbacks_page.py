"""The page "Callbacks" of a real Airflow, in a real Chromium: looked at, searched, and used to send again."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from callbacks_browser import chromium, signed_in
from conftest import LONG, ROOT
from playwright.sync_api import Browser, Frame, FrameLocator, Locator, Page, Route, expect

from demo.local_airflow import LocalAirflow
from demo.local_relay import running_relay
from ringback_notifier.outbox import EventFilter, Outbox

SECRET = "hush-hush-token"
IMAGES = ROOT / "docs" / "images"
WRITES = os.environ.get("RINGBACK_WRITE_SCREENSHOTS") == "1"
RUNS = {"delivered": "portal__5V1nX0", "gone": "portal__8Kq2LM", "refused": "portal__R3w77c", "dead": "portal__D0zP4e"}
MORE = {  # runs that the pictures show, too
    "billing__77Qd0a": ("long_job", "airflow/completions", {"parts": 2, "seconds": 0, "broken_part": 1}),
    "billing__77Qd0b": ("long_job", "airflow/completions", {"parts": 2, "seconds": 0}),
    "billing__9TTk31": ("callback_only", "airflow/completions", {}),
    "portal_5V1nX1": ("sales_report", "airflow/completions", {"region": "EMEA"}),
    "nightly_2041": ("legacy_job", "broken/ledger", {"seconds": 0}),
}
LABELS = {"delivered": "Delivered", "gone": "Gone", "refused": "Refused", "dead": "Dead letter"}


@dataclass
class Receivers:
    """A caller's end whose paths behave in their own ways, until everything is mended."""

    port: int
    mended: bool = False
    heard: list[tuple[str, str]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def answer(self, path: str) -> tuple[int, bytes]:
        if not self.mended and path.startswith("/gone/"):
            return 410, b""
        if not self.mended and path.startswith("/broken/"):
            return 503, json.dumps(
                {"error": "the database is being moved", "asked": path, "markup": "<b>b</b>"}
            ).encode()
        return 204, b""


@pytest.fixture(scope="module")
def receivers(receiver_port: int) -> Iterator[Receivers]:
    """What Airflow rings."""
    receivers = Receivers(receiver_port)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = receivers.answer(self.path)
            receivers.heard.append((body["data"]["run_id"], str(status)))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", receiver_port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receivers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def relays_environment(airflow: LocalAirflow) -> dict[str, str]:
    """A relay that reports what ends while it runs, and no run of other tests."""
    settings = {
        "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(airflow.reader()),
        "AIRFLOW__RINGBACK__SWEEP_INTERVAL": "1",
        "AIRFLOW__RINGBACK__SWEEP_LOOKBACK": "0",
    }
    return {**airflow.environment, **settings}


@pytest.fixture(scope="module")
def deliveries(
    airflow: LocalAirflow,
    receivers: Receivers,
    relays_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Runs of four fates and the ids of their events, each by its run: real attempts, real answers."""
    asked = {
        "delivered": ("sales_report", receivers.url("airflow/completions"), {"region": "APAC"}),
        "gone": ("sales_report", receivers.url("gone/completions"), {"region": "EMEA"}),
        "refused": ("sales_report", f"https://elsewhere.example/completions?token={SECRET}", {"region": "EMEA"}),
        "dead": ("legacy_job", receivers.url(f"broken/completions?token={SECRET}"), {"seconds": 0}),
    }
    with running_relay(relays_environment, tmp_path_factory.mktemp("relay") / "relay.log"):
        runs = {RUNS[fate]: run for fate, run in asked.items()}
        more = {run_id: (dag_id, receivers.url(path), conf) for run_id, (dag_id, path, conf) in MORE.items()}
        with airflow.api() as api:
            for run_id, (dag_id, url, conf) in (runs | more if WRITES else runs).items():
                run = {"logical_date": None, "dag_run_id": run_id, "conf": {"callback_url": url, **conf}}
                api.post(f"/api/v2/dags/{dag_id}/dagRuns", json=run).raise_for_status()
        with opened_outbox(airflow) as outbox:

            def settled() -> bool:
                found = {row.run_id: row for row in outbox.page(EventFilter(), limit=1_000).rows}
                if WRITES and not MORE.keys() <= found.keys():
                    return False
                rows = {fate: found.get(run_id) for fate, run_id in RUNS.items()}
                return all(
                    row is not None and (row.attempts > 0 if fate == "dead" else row.status == fate)
                    for fate, row in rows.items()
                )

            until(settled)
    with opened_outbox(airflow) as outbox:
        # What a relay does once the schedule of two days is over.
        outbox.expire(f"127.0.0.1:{receivers.port}", before=time.time() + 1, now=time.time())
        return {
            row.run_id: row.event_id
            for row in outbox.page(EventFilter(), limit=1_000).rows
            if row.run_id in RUNS.values()
        }


@contextmanager
def opened_outbox(airflow: LocalAirflow) -> Iterator[Outbox]:
    file = airflow.home / "ringback" / "outbox.db"
    until(file.exists)
    outbox = Outbox.open(f"sqlite:///{file}", wait=30)
    yield outbox
    outbox.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def operator(browser: Browser, airflow: LocalAirflow) -> Iterator[Page]:
    """An operator's window; what its console and its requests say is looked at in the end."""
    with signed_in(browser, airflow, "otto") as page:
        yield page


def navigated(page: Page) -> FrameLocator:
    """Open the page from Airflow's navigation and return its frame."""
    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Callbacks").click()
    return shown(page)


def opened(page: Page) -> FrameLocator:
    """Open the page by its address, that of these tests' runs alone, and return its frame."""
    page.goto("/plugin/callbacks/ringback/callbacks/?run_id_contains=portal__")
    frame = shown(page)
    expect(frame.locator("tr.row")).to_have_count(len(RUNS))
    return frame


def shown(page: Page) -> FrameLocator:
    frame = page.frame_locator("iframe[title=Callbacks]")
    expect(frame.locator("tr.row").first).to_be_visible(timeout=LONG * 1000)
    return frame


def inside(page: Page) -> Frame:
    """Return the frame, to run a script in it."""
    return next(frame for frame in page.frames if frame != page.main_frame)


def row(frame: FrameLocator, run_id: str) -> Locator:
    return frame.locator("tr.row", has_text=run_id)


def chip(frame: FrameLocator, name: str) -> Locator:
    return frame.get_by_role("button", name=name, exact=True)


def shot(page: Page, name: str, *, height: int = 0) -> None:
    """Keep a picture for the documents, when they are to be made anew; of the upper part, if it must be small."""
    if WRITES:
        IMAGES.mkdir(exist_ok=True)
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        size = page.viewport_size
        assert size is not None
        page.screenshot(
            path=IMAGES / f"{name}.png",
            clip={"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]},
        )


def test_an_operator_finds_what_was_given_up_and_sends_it_again(
    operator: Page,
    deliveries: dict[str, str],
    receivers: Receivers,
    relays_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """From Airflow's navigation: searched, filtered, opened, sent again, and delivered before his eyes."""
    frame = navigated(operator)
    expect(frame.locator("#relay")).to_contain_text("No relay is running")
    with running_relay(relays_environment, tmp_path / "relay.log"):
        expect(frame.locator("#relay")).to_have_text("Relay running", timeout=LONG * 1000)
        shot(operator, "callbacks")
        frame.get_by_label("Run id contains").fill("portal__")
        expect(frame.locator("tr.row")).to_have_count(len(RUNS))
        for fate, label in LABELS.items():
            expect(row(frame, RUNS[fate]).locator(".pill")).to_have_text(label)
            expect(chip(frame, f"{label} 1")).to_have_attribute("aria-pressed", "false")

        chip(frame, "Dead letter 1").click()
        expect(frame.locator("tr.row")).to_have_count(1)
        expect(chip(frame, "Dead letter 1")).to_have_attribute("aria-pressed", "true")
        row(frame, RUNS["dead"]).get_by_role("button").press("Enter")
        detail = frame.locator(".detail")
        expect(detail).to_contain_text("Given up")
        expect(detail).to_contain_text(deliveries[RUNS["dead"]])
        expect(detail.get_by_label("The event's body")).to_contain_text('/broken/completions?…"')
        expect(detail.locator(".attempt-list li").first).to_contain_text("given up")
        for text in ("503", "by the relay", "took", '"markup": "<b>b</b>"'):
            expect(detail.locator(".attempt-list li").last).to_contain_text(text)
        shot(operator, "callbacks-detail", height=590)

        receivers.mended = True
        chip(frame, "All 4").click()
        expect(frame.locator("tr.row")).to_have_count(len(RUNS))
        detail.get_by_role("button", name="Send again").click()
        expect(row(frame, RUNS["dead"]).locator(".pill")).to_have_text("Delivered", timeout=LONG * 1000)
        expect(detail.locator(".attempt-list li").first).to_contain_text("204")
    assert receivers.heard.count((RUNS["dead"], "204")) == 1

    operator.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    expect(row(frame, RUNS["dead"]).get_by_role("button")).to_be_focused()


def test_all_that_match_are_sent_again_after_a_question(operator: Page, deliveries: dict[str, str]) -> None:
    """Which says how many, and what is meant; closed with Escape, nothing happens."""
    frame = opened(operator)
    chip(frame, "Gone 1").click()
    expect(frame.locator("tr.row")).to_have_count(1)
    frame.get_by_role("button", name="Send all matching again").click()
    dialog = frame.get_by_role("dialog")
    expect(dialog).to_contain_text("Send 1 delivery again?")
    expect(dialog).to_contain_text("run id contains portal__")
    operator.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(frame.locator("tr.row")).to_have_count(1)

    frame.get_by_role("button", name="Send all matching again").click()
    dialog.get_by_role("button", name="Send 1 again").click()
    expect(dialog).to_contain_text("1 sent again; the relay delivers them.")
    dialog.get_by_role("button", name="Close").click()
    chip(frame, "All 4").click()
    expect(row(frame, RUNS["gone"]).locator(".pill")).to_have_text("Waiting")


def test_the_question_names_the_filter_that_is_sent(operator: Page) -> None:
    """Also where the filter is changed while the server counts."""
    said = {"rows": [delivery(1)], "next": None, "searched_to": None, "relays": {"alive": 1, "known": True}}
    answer = {"now": time.time(), "may_edit": True, **said}
    counting: list[Route] = []
    sent: list[Any] = []

    def taken(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(json={"count": 3, "next": None})

    operator.route("**/api/deliveries?*", lambda route: route.fulfill(json=answer))
    operator.route("**/api/redeliverable*", lambda route: counting.append(route))
    operator.route("**/api/redeliver", taken)
    operator.goto("/ringback/callbacks/?run_id_contains=portal__")
    with operator.expect_request("**/api/redeliverable*"):
        operator.get_by_role("button", name="Send all matching again").click()
    operator.get_by_label("Run id contains").fill("billing__")
    counting[0].fulfill(json={"number": 3, "or_more": False})
    dialog = operator.get_by_role("dialog")
    expect(dialog).to_contain_text("run id contains portal__")
    dialog.get_by_role("button", name="Send 3 again").click()
    expect(dialog).to_contain_text("3 sent again")
    assert sent[0]["filter"]["run_id_contains"] == "portal__"
    operator.unroute_all()


def test_a_run_has_a_tab_with_its_deliveries(operator: Page, deliveries: dict[str, str]) -> None:
    """And a delivery leads to its run: out of the frame, within Airflow."""
    frame = opened(operator)
    row(frame, RUNS["refused"]).get_by_role("button").click()
    expect(frame.locator(".detail")).to_contain_text("https://elsewhere.example/completions?…")
    expect(frame.locator(".detail")).to_contain_text("add a pattern")
    frame.locator(".detail").get_by_role("link", name=RUNS["refused"]).click()
    operator.wait_for_url(f"**/dags/sales_report/runs/{RUNS['refused']}")
    operator.get_by_role("link", name="Callbacks").click()
    expect(frame.get_by_role("heading", name="Callbacks of this run")).to_be_visible()
    expect(frame.locator("tr.row")).to_have_count(1)
    expect(frame.locator("tr.row .pill")).to_have_text("Refused")
    shot(operator, "callbacks-run")


def test_the_page_is_dark_where_airflow_is(operator: Page, deliveries: dict[str, str]) -> None:
    """At once, when the theme is changed, and after a reload."""
    frame = opened(operator)
    background = "() => getComputedStyle(document.body).backgroundColor"
    inner = inside(operator)
    light = inner.evaluate(background)
    operator.evaluate("document.documentElement.classList.replace('light', 'dark')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    assert inner.evaluate(background) != light
    operator.evaluate("localStorage.setItem('theme', 'dark')")
    frame = navigated(operator)
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    shot(operator, "callbacks-dark")
    operator.evaluate("localStorage.setItem('theme', 'light')")


def test_the_page_fits_a_narrow_window(operator: Page, deliveries: dict[str, str]) -> None:
    """At 360 pixels nothing has to be scrolled sideways, also with a delivery open."""
    size = operator.viewport_size
    assert size is not None
    operator.goto("/ringback/callbacks/?run_id_contains=portal__")
    operator.set_viewport_size({"width": 360, "height": 760})
    expect(operator.locator("tr.row")).to_have_count(len(RUNS))
    shot(operator, "callbacks-narrow")
    operator.locator("tr.row .row-button").first.click()
    expect(operator.locator(".detail .attempt-list")).to_be_visible()
    assert operator.evaluate("document.documentElement.scrollWidth") == 360
    operator.set_viewport_size(size)


def test_where_nothing_has_rung_the_page_says_how_to(operator: Page) -> None:
    """Three steps, each with what to type; and no filter that could hide anything."""
    nothing = {"now": time.time(), "may_edit": True, "rows": [], "next": None, "searched_to": None, "relays": None}
    answer = json.dumps({**nothing, "no_outbox": "there is no outbox yet"})
    operator.route("**/api/deliveries?*", lambda route: route.fulfill(body=answer, content_type="application/json"))
    operator.goto("/ringback/callbacks/")
    expect(operator.get_by_role("heading", name="No run has rung yet")).to_be_visible()
    for typed in (
        "ringback keys new",
        "notify_completion()",
        '{"callback_url": "https://portal.example/airflow/completions"}',
    ):
        expect(operator.locator("#empty")).to_contain_text(typed)
    expect(operator.locator("#controls")).to_be_hidden()
    operator.unroute("**/api/deliveries?*")


def test_one_goes_back_page_by_page_and_further_than_one_search_goes(operator: Page) -> None:
    """Older and newer, one page at a time; a search that was cut short says how far it came, and goes on when asked."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        after = parse_qs(urlsplit(route.request.url).query).get("after", [""])[0]
        asked.append(after)
        start = int(after or 0)
        rows = [] if start >= 100 else [delivery(number) for number in range(start, start + 50)]
        said = {"rows": rows, "next": str(start + 50), "searched_to": None if rows else 1_790_000_000.0 - start}
        relays = {"alive": 1, "known": True}
        route.fulfill(json={"now": time.time(), "may_edit": False, "relays": relays, **said})

    operator.route("**/api/deliveries?*", answer)
    operator.goto("/ringback/callbacks/")
    expect(operator.locator("tr.row").last).to_contain_text("run_49")
    expect(operator.get_by_role("button", name="Newer")).to_be_disabled()
    operator.get_by_role("button", name="Older").click()
    expect(operator.locator("tr.row").last).to_contain_text("run_99")
    expect(operator.locator("tr.row")).to_have_count(50)
    operator.get_by_role("button", name="Newer").click()
    expect(operator.locator("tr.row").first).to_contain_text("run_0")

    operator.get_by_role("button", name="Older").click()
    expect(operator.locator("tr.row").first).to_contain_text("run_50")
    operator.get_by_role("button", name="Older").click()
    expect(operator.locator("#searched")).to_contain_text("nothing found so far")
    asked.clear()
    operator.get_by_role("button", name="Search further back").click()
    expect(operator.locator("#page-number")).to_have_text("Page 4")
    assert asked[0] == "500"  # eight steps of fifty lie between
    operator.goto("about:blank")  # or it would go on from where only this test has been
    operator.unroute("**/api/deliveries?*")


def delivery(number: int) -> dict[str, object]:
    """A row of the list, as the page is told of it."""
    nothing = dict.fromkeys(("destination", "url", "due_at", "settled_at"))
    known = {"status": "delivered", "state": "success", "dag_id": "d", "reported_by": "task", "attempts": 0}
    rest = {"id": f"msg_{number}", "run_id": f"run_{number}", "created_at": time.time() - number}
    return {**nothing, **known, **rest, "may_redeliver": False}


def test_who_may_only_look_sends_nothing_again(
    browser: Browser, airflow: LocalAirflow, deliveries: dict[str, str]
) -> None:
    """A viewer sees the deliveries and no button; and what his window is made to send is refused."""
    with signed_in(browser, airflow, "vera") as page:
        frame = opened(page)
        row(frame, RUNS["refused"]).get_by_role("button").click()
        expect(frame.locator(".detail")).to_contain_text("Nothing was sent")
        expect(frame.get_by_role("button", name=re.compile("again|Send now"))).to_have_count(0)
        inner = inside(page)
        send = """async (order) => (await fetch("api/redeliver", {
            method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(order)})).status"""
        assert inner.evaluate(send, {"event_ids": [deliveries[RUNS["refused"]]]}) == 403
        assert inner.evaluate(send, {"filter": {"until": 9e9}, "after": None}) == 403
    with opened_outbox(airflow) as outbox:
        assert outbox.status_of(deliveries[RUNS["refused"]]) == "refused"


def test_who_is_not_signed_in_gets_nothing(browser: Browser, airflow: LocalAirflow, deliveries: dict[str, str]) -> None:
    """Neither the page nor what is behind it."""
    context = browser.new_context(base_url=airflow.url)
    for path in ("", "callbacks.js", "api/deliveries", f"api/deliveries/{deliveries[RUNS['dead']]}"):
        answer = context.request.get(f"/ringback/callbacks/{path}")
        assert answer.status == 401
        assert "portal__" not in answer.text()
    context.close()


def test_no_secret_is_sent_to_the_browser(operator: Page, deliveries: dict[str, str]) -> None:
    """Two of the URLs hold one, and a receiver answered with it."""
    for path in ("deliveries?limit=100", *(f"deliveries/{event_id}" for event_id in deliveries.values())):
        answer = operator.request.get(f"/ringback/callbacks/api/{path}")
        assert answer.ok
        assert SECRET not in answer.text()


def test_the_page_asks_no_other_host_and_breaks_no_rule(operator: Page, airflow: LocalAirflow) -> None:
    """In all that the operator did; a browser says in its console what a policy forbids."""
    seen = operator.seen  # type: ignore[attr-defined]
    assert len(seen.requests) > 50
    assert [url for url in seen.requests if not url.startswith((airflow.url, "data:", "blob:"))] == []
    assert seen.complaints == []
