"""A real Envoy refuses with the limits of a decision point, as its deployed configuration says."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdp.config import Config
from pdp.engine import Server

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "envoy" / "rate-limit.yaml"
ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
START_SECONDS = 30.0

pytestmark = pytest.mark.skipif(ENVOY is None, reason="no envoy binary beside this Python or on PATH")

# Sliding windows: no day that turns meanwhile empties them.
LIMITS = """domain: edge
limits:
  - {name: user, descriptor: [{key: user}], algorithm: sliding_window, limit: 3, window: 1d}
  - name: path
    descriptor: [{key: user}, {key: path, value: /shadow*}]
    algorithm: sliding_window
    limit: 1
    window: 1d
    shadow: true
"""
MANIFEST = """version: 1
policies: [{id: edge.limits, kind: rate_limit, engine: limits, source: limits.yaml}]
"""


class Application(BaseHTTPRequestHandler):
    """Answers every request with 200."""

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def application() -> Iterator[int]:
    """The port of an application behind Envoy."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def decision_point(directory: Path) -> Iterator[tuple[Server, int]]:
    """A decision point with the limits above, and its port."""
    (directory / "manifest.yaml").write_text(MANIFEST)
    (directory / "limits.yaml").write_text(LIMITS)
    local = "127.0.0.1:0"
    config = Config(
        policies=directory, listen=local, admin_listen=local, http_listen=local, threads=1, watch=False
    )
    with Server(config) as server:
        yield server, int(server.start().decision.rpartition(":")[2])


def free_port() -> int:
    """A port that was free a moment ago: Envoy cannot be asked for the one it chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def envoy(directory: Path, ports: dict[str, int], **changed: Any) -> Iterator[int]:
    """The port of an Envoy with the deployed configuration.

    `changed` are fields of its filter, `manager` of what holds the filter.
    """
    document = yaml.safe_load(CONFIGURATION.read_text())
    for cluster in document["static_resources"]["clusters"]:
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"]["socket_address"] = {
            "address": "127.0.0.1",
            "port_value": ports[cluster["name"]],
        }
    own = free_port()
    (listener,) = document["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": own}
    document["admin"]["address"]["socket_address"]["port_value"] = 0
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    # The deployed time is much for an answer and little for a machine that others use.
    manager |= changed.pop("manager", {})
    manager["http_filters"][0]["typed_config"] |= {"timeout": "5s", **changed}
    file = directory / "envoy.yaml"
    file.write_text(yaml.safe_dump(document))
    with (directory / "envoy.log").open("wb") as log:
        command = [str(ENVOY), "--config-path", str(file), "--concurrency", "1", "--use-dynamic-base-id"]
        process = subprocess.Popen([*command, "--log-level", "error"], stdout=log, stderr=log)
        try:
            wait_until_listening(own, process)
            yield own
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until Envoy accepts connections, which it does when it has looked at its clusters' health."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            assert process.poll() is None, "Envoy has ended; see envoy.log"
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def ask(port: int, user: str, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    """One request of a user through Envoy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20.0)
    try:
        connection.request("GET", path, headers={"x-user": user, **headers})
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., tuple[int, Server]]]:
    """Starts an Envoy between callers and an application, and the decision point that it asks."""
    with ExitStack() as stack:

        def start(**changed: Any) -> tuple[int, Server]:
            behind = stack.enter_context(application())
            server, port = stack.enter_context(decision_point(tmp_path))
            ports = {"application": behind, "pdp": port}
            return stack.enter_context(envoy(tmp_path, ports, **changed)), server

        yield start


def limits_of(answer: http.client.HTTPResponse) -> dict[str, str]:
    """What an answer says of limits; each header stands once."""
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
    found = [(name.lower(), value) for name, value in answer.getheaders() if name.lower() in names]
    assert max(Counter(name for name, _ in found).values(), default=1) == 1, found
    return dict(found)


def test_requests_pass_until_the_limit_and_are_told_when_to_come_back(gateway: Any) -> None:
    """200 while there is room, then 429; another user is not concerned."""
    port, _ = gateway()
    answers = [ask(port, "ada") for _ in range(5)]
    assert [one.status for one in answers] == [200, 200, 200, 429, 429]
    assert [limits_of(one)["x-ratelimit-remaining"] for one in answers] == ["2", "1", "0", "0", "0"]
    assert {limits_of(one)["x-ratelimit-limit"] for one in answers} == {"3, 3;w=86400"}
    assert [one.getheader("x-envoy-ratelimited") for one in answers] == [None, None, None, "true", "true"]
    assert ["retry-after" in limits_of(one) for one in answers] == [False, False, False, True, True]
    assert 0 < int(limits_of(answers[-1])["retry-after"]) <= 2 * 86_400
    assert 0 < int(limits_of(answers[-1])["x-ratelimit-reset"]) <= 2 * 86_400
    assert ask(port, "bob").status == 200


def test_envoy_may_write_the_headers_by_itself(gateway: Any) -> None:
    """Told so by its own configuration, the decision point leaves them to it."""
    service = {
        "transport_api_version": "V3",
        "grpc_service": {
            "envoy_grpc": {"cluster_name": "pdp"},
            "initial_metadata": [{"key": "x-pdp-ratelimit-headers", "value": "off"}],
        },
    }
    port, _ = gateway(enable_x_ratelimit_headers="DRAFT_VERSION_03", rate_limit_service=service)
    answers = [ask(port, "ada") for _ in range(4)]
    assert [one.status for one in answers] == [200, 200, 200, 429]
    assert [limits_of(one)["x-ratelimit-remaining"] for one in answers] == ["2", "1", "0", "0"]
    assert {limits_of(one)["x-ratelimit-limit"] for one in answers} == {'3, 3;w=86400;name="user"'}
    assert "retry-after" in limits_of(answers[-1])


def test_shadowed_descriptor_never_blocks(gateway: Any) -> None:
    """The first descriptor's limit still does."""
    port, _ = gateway()
    assert [ask(port, "cleo", f"/shadow/{at}").status for at in range(4)] == [200, 200, 200, 429]
    assert [ask(port, "dan", "/shadow/1").status for _ in range(3)] == [200, 200, 200]


def test_request_id_of_a_caller_is_not_trusted_at_the_edge(gateway: Any) -> None:
    """Else whoever repeats an id would pay once."""
    port, _ = gateway()
    repeated = {"x-request-id": "8e1f9a8c-0c1b-4a53-9c3c-5a3f6f9f3c11"}
    assert [ask(port, "eve", **repeated).status for _ in range(4)] == [200, 200, 200, 429]


def test_request_id_that_envoy_keeps_reaches_the_decision_point(gateway: Any) -> None:
    """What Envoy asks again for one request is spent once."""
    port, _ = gateway(manager={"preserve_external_request_id": True})
    repeated = {"x-request-id": "8e1f9a8c-0c1b-4a53-9c3c-5a3f6f9f3c11"}
    answers = [ask(port, "fay", **repeated) for _ in range(5)]
    assert [one.status for one in answers] == [200] * 5
    assert {limits_of(one)["x-ratelimit-remaining"] for one in answers} == {"2"}


@pytest.mark.parametrize(("deny", "status"), [(True, 500), (False, 200)], ids=["deny", "allow"])
def test_stopped_decision_point_is_what_failure_mode_says(gateway: Any, deny: bool, status: int) -> None:  # noqa: FBT001
    """Envoy's own setting decides what no decision point can."""
    port, server = gateway(failure_mode_deny=deny)
    assert ask(port, "gus").status == 200
    server.drain()
    answers = [ask(port, "gus") for _ in range(5)]
    assert {one.status for one in answers} == {status}
    assert {one.getheader("x-envoy-ratelimited") for one in answers} == {None}
