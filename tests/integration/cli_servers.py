"""A small HTTP server that answers as a test wants, and a command that runs until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Asked", "Reply", "Server", "running", "serving"]


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Server:
    """Where it is, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)


Reply = tuple[int, dict[str, str], bytes]


@contextlib.contextmanager
def serving(reply: Callable[[Asked], Reply]) -> Iterator[Server]:
    """Answer every request with what ``reply`` gives."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            asked = Asked(self.command, self.path, list(self.headers.items()), body)
            server.asked.append(asked)
            status, headers, said = reply(asked)
            self.send_response(status)
            for name, value in {"content-length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_HEAD = answer

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextlib.contextmanager
def running(*arguments: str, until: str | None, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``ringback …``, and give it once it has said so on standard error, or with ``None`` at once."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ringback_cli", *arguments],
        env={**os.environ, **variables, "COLUMNS": "250"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stderr is not None
        said = ""
        while until is not None and until not in said:
            if line := process.stderr.readline():
                said += line
                continue
            raise AssertionError(f"it ended with {process.wait()}: {said}")
        yield process
    finally:
        process.kill()
        with process:  # closes what it wrote to, and waits
            pass
