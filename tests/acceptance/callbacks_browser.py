"""Chromium with somebody signed in to Airflow, who keeps an eye on what his window asks for."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from demo.local_airflow import LocalAirflow

__all__ = ["Seen", "chromium", "signed_in"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Seen:
    """What a window asked for, and what it complained of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium, without a window."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    assert path, "this needs Chromium: make acceptance installs it, or apt-get install chromium"
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*root, "--disable-background-networking"])
        yield browser
        browser.close()


@contextlib.contextmanager
def signed_in(browser: Browser, airflow: LocalAirflow, username: str) -> Iterator[Page]:
    """Sign in as people do, and return the window; ``page.seen`` is what it saw."""
    context = browser.new_context(base_url=airflow.url, viewport={"width": 1120, "height": 720})
    context.set_default_timeout(60_000)
    page, seen = context.new_page(), Seen()
    page.seen = seen  # type: ignore[attr-defined]
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("console", lambda message: _listen(message, seen))
    page.goto("/auth/login")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", airflow.passwords[username])
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/auth/" not in url)
    yield page
    context.close()


def _listen(message: ConsoleMessage, seen: Seen) -> None:
    if message.type == "error":
        seen.complaints.append(message.text)
