"""Names become addresses without anybody having to wait for a resolver that hangs."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ringback_notifier import _resolver
from ringback_notifier._resolver import Resolver, aresolve, resolve


class Dns:
    """A system resolver that answers by a script, or hangs until it is released."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | Exception] = {}
        self.asked: list[str] = []
        self.released = threading.Event()

    def __call__(self, host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("hang"):
            self.released.wait(20)
        answer = self.answers.get(host, ["93.184.215.14"])
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in answer]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    scripted = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", scripted)
    monkeypatch.setattr(_resolver, "_RESOLVER", Resolver(4))
    yield scripted
    scripted.released.set()
    for thread in threading.enumerate():
        if thread.name == "ringback-resolver":
            thread.join(5)


def both(host: str, within: float = 5.0) -> list[Callable[[], Any]]:
    return [lambda: resolve(host, within=within), lambda: asyncio.run(aresolve(host, within=within))]


def test_every_address_comes_once_and_in_order(dns: Dns) -> None:
    """The system sorts them by what it can reach best."""
    dns.answers["two.example"] = ["1.1.1.1", "2606:4700::1111", "1.1.1.1"]
    for ask in both("two.example"):
        assert ask() == ("1.1.1.1", "2606:4700::1111")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2001:db8::1"])
def test_an_address_is_not_looked_up(dns: Dns, host: str) -> None:
    """It is its own answer."""
    for ask in both(host):
        assert ask() == (host,)
    assert dns.asked == []


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "gone.example cannot be resolved: Name or service not known",
        ),
        (UnicodeError("label too long"), "gone.example cannot be resolved: label too long"),
    ],
)
def test_a_name_that_does_not_resolve_is_an_error_that_names_it(dns: Dns, failure: Exception, told: str) -> None:
    """Whatever the system's resolver raises."""
    dns.answers["gone.example"] = failure
    for ask in both("gone.example"):
        with pytest.raises(OSError, match=told):
            ask()


def test_a_resolver_that_hangs_is_left_alone_in_time(dns: Dns) -> None:
    """The thread is a daemon, and the loop is free to close."""
    for ask in both("hang.example", within=0.2):
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"hang\.example could not be resolved in time"):
            ask()
        assert time.monotonic() - started < 2
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "ringback-resolver")


def test_many_who_ask_for_one_name_cost_one_thread(dns: Dns) -> None:
    """A name that hangs does not eat threads."""
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(resolve, "hang.example", within=5) for _ in range(8)]
        while not dns.asked:
            time.sleep(0.01)
        time.sleep(0.1)
        dns.released.set()
        assert {answer.result(5) for answer in asking} == {("93.184.215.14",)}
    assert dns.asked == ["hang.example"]


def test_a_name_is_asked_for_anew_every_time(dns: Dns) -> None:
    """Nothing is cached here: that is the system's business."""
    for _ in range(3):
        resolve("portal.example", within=5)
    assert len(dns.asked) == 3


def test_names_that_hang_do_not_eat_threads_without_end(dns: Dns) -> None:
    """Beyond a number of them asking fails at once, and goes on as soon as one is answered."""
    for number in range(4):
        with pytest.raises(TimeoutError):
            resolve(f"hang{number}.example", within=0.01)
    for ask in both("portal.example"):
        with pytest.raises(OSError, match="4 other names are being resolved already"):
            ask()
    dns.released.set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert resolve("portal.example", within=5) == ("93.184.215.14",)
            break
        except OSError:
            time.sleep(0.01)
    else:
        pytest.fail("it never went on")


def test_a_loop_goes_on_while_it_waits(dns: Dns) -> None:
    """The answer wakes it."""

    async def wait() -> Any:
        asking = asyncio.create_task(aresolve("hang.example", within=5))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not asking.done()
        dns.released.set()
        return await asking

    assert asyncio.run(wait()) == ("93.184.215.14",)


def test_a_forked_process_starts_afresh(dns: Dns) -> None:
    """What a thread of its parent was asking, nobody will answer here."""
    with pytest.raises(TimeoutError):
        resolve("hang.example", within=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, which is what this is about
        child = os.fork()
    if child == 0:
        found: Any = None
        try:
            dns.released.set()
            found = resolve("hang.example", within=5)
        finally:
            os._exit(0 if found == ("93.184.215.14",) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
