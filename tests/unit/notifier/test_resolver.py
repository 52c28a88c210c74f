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
from ringback_notifier._resolver import Resolver, ResolverBusy, aresolve, resolve


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
    monkeypatch.setattr(_resolver, "_RESOLVER", Resolver(4, waiting=3))
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
    """Beyond a number of them others wait for their turn, and beyond another asking fails at once."""
    for number in range(4):
        with pytest.raises(TimeoutError):
            resolve(f"hang{number}.example", within=0.01)
    for number in range(3):
        with pytest.raises(TimeoutError):
            resolve(f"waiting{number}.example", within=0.01)
    assert len(dns.asked) == 4
    for ask in both("portal.example"):
        with pytest.raises(ResolverBusy, match=r"portal\.example cannot be resolved now: too many names"):
            ask()
    dns.released.set()
    for number in range(3):
        assert resolve(f"waiting{number}.example", within=5) == ("93.184.215.14",)
    assert resolve("portal.example", within=5) == ("93.184.215.14",)


def test_many_names_at_once_are_no_trouble(dns: Dns) -> None:
    """After an outage there are events for hundreds of hosts; nobody's attempt fails for it."""
    _resolver._RESOLVER = Resolver(4)
    with ThreadPoolExecutor(60) as pool:
        found = list(pool.map(lambda number: resolve(f"host{number}.example", within=10), range(300)))
    assert found == [("93.184.215.14",)] * 300


def test_a_thread_that_cannot_be_started_spoils_no_name(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the next attempt asks anew."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", start)
        with pytest.raises(ResolverBusy, match="no thread can be started"):
            resolve("portal.example", within=5)
    assert resolve("portal.example", within=5) == ("93.184.215.14",)


def test_a_question_that_hangs_for_long_is_asked_again(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that comes back is noticed, though the first question is never answered."""
    monkeypatch.setattr(_resolver, "_GIVEN_UP_AFTER", 0.0)
    with pytest.raises(TimeoutError):
        resolve("hang.example", within=0.05)
    with pytest.raises(TimeoutError):
        resolve("hang.example", within=0.05)
    assert dns.asked == ["hang.example"] * 2


def test_a_name_with_addresses_without_number_is_none(dns: Dns) -> None:
    """To judge them all would hold the event loop up."""
    dns.answers["huge.example"] = [f"8.8.{number // 250}.{number % 250}" for number in range(4_000)]
    for ask in both("huge.example"):
        with pytest.raises(OSError, match="more addresses than any receiver"):
            ask()


def test_a_loop_that_is_closed_is_not_told(dns: Dns, caplog: pytest.LogCaptureFixture) -> None:
    """The answer comes when nobody is there any more, and nothing is said about it."""
    with pytest.raises(TimeoutError):
        asyncio.run(aresolve("hang.example", within=0.05))
    dns.released.set()
    for thread in threading.enumerate():
        if thread.name == "ringback-resolver":
            thread.join(5)
    assert caplog.messages == []


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
