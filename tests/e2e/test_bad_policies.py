"""A faulty policy set is named by file, row and column, and never serves; a faulty policy denies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest

from pdp import CheckRequest, Client, ClientOptions, Question, ReasonCode, Resource, Subject
from pdp._proto import admin_pb2, admin_pb2_grpc
from pdp.cli import ExitCode
from pdp.config import Config
from pdp.engine import Server
from pdp.errors import PolicySetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pdp.engine import Addresses

MANIFEST = """\
version: 1
policies:
  - id: good
    kind: access
    engine: rego
    source: good.rego
    match: {actions: [read]}
  - id: endless
    kind: access
    engine: rego
    source: endless.rego
    match: {actions: [loop]}
"""

GOOD = 'package good\n\nallow if input.subject.id == "ada"\n'

# Some 10^12 combinations, none of which holds.
ENDLESS = """\
package endless

allow if {
	some a in numbers.range(1, 10000)
	some b in numbers.range(1, 10000)
	some c in numbers.range(1, 10000)
	a + b + c == 0
}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A set of a good policy and of one that never ends."""
    (tmp_path / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "good.rego").write_text(GOOD, encoding="utf-8")
    (tmp_path / "endless.rego").write_text(ENDLESS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def served(policies: Path) -> Iterator[tuple[Server, Addresses]]:
    """A server of the set."""
    local = "127.0.0.1:0"
    config = Config(policies=policies, listen=local, admin_listen=local, http_listen=local, watch=False)
    with Server(config) as server:
        yield server, server.start()


@pytest.fixture
def client(served: tuple[Server, Addresses]) -> Iterator[Client]:
    """A client of the server."""
    with Client(served[1].decision, ClientOptions(timeout_seconds=20.0)) as connected:
        yield connected


def asking(action: str, subject: str = "ada") -> CheckRequest:
    """An access question."""
    return CheckRequest(
        questions=(Question.ACCESS,), subject=Subject(id=subject), action=action, resource=Resource(id="r")
    )


def test_policy_that_loops_denies_and_the_next_request_is_answered(client: Client) -> None:
    """The budget ends the evaluation with its own reason."""
    decision = client.check(asking("loop"))
    assert not decision.allowed
    codes = {one.code for one in decision.reasons}
    assert codes & {ReasonCode.POLICY_TIMEOUT, ReasonCode.POLICY_INSTRUCTION_LIMIT}
    assert decision.policy_ids == ("endless",)
    assert client.check(asking("read")).allowed


def test_syntax_error_on_reload_is_placed_and_the_old_set_serves(
    policies: Path, served: tuple[Server, Addresses], client: Client
) -> None:
    """A reload by the admin call fails whole; its diagnostic stays in the status."""
    before = client.check(asking("read")).policy_revision
    (policies / "good.rego").write_text(GOOD + "\nallow if {\n\tinput.subject.id ==\n}\n", encoding="utf-8")
    assert served[1].admin is not None
    with grpc.insecure_channel(served[1].admin) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            admin.Reload(admin_pb2.ReloadRequest(), timeout=20)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "good.rego:7:1" in raised.value.details()
        status = admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=20)
    (fault,) = status.last_failure
    assert (fault.file, fault.row, fault.column, fault.code) == ("good.rego", 7, 1, "rego_syntax")
    decision = client.check(asking("read"))
    assert decision.allowed
    assert decision.policy_revision == before == status.policy_revision
    (policies / "good.rego").write_text(GOOD.replace("ada", "eva"), encoding="utf-8")
    assert served[0].reload() != before
    assert not client.check(asking("read")).allowed
    assert client.check(asking("read", "eva")).allowed


def test_in_process_reload_of_a_faulty_set_raises_and_keeps_the_old_one(
    policies: Path, served: tuple[Server, Addresses], client: Client
) -> None:
    """The exception holds every diagnostic."""
    (policies / "good.rego").write_text("package good\n\nallow if nonsense(1)\n", encoding="utf-8")
    with pytest.raises(PolicySetError) as raised:
        served[0].reload()
    (fault,) = raised.value.diagnostics
    assert (fault.file, fault.row) == ("good.rego", 3)
    assert client.check(asking("read")).allowed


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with `arguments`."""
    return subprocess.run(
        [sys.executable, "-m", "pdp.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )


@pytest.mark.parametrize("command", [["validate"], ["serve", "--listen", "127.0.0.1:0", "--policies"]])
def test_unknown_key_of_a_manifest_is_refused_by_name_and_place(policies: Path, command: list[str]) -> None:
    """Neither validated nor served."""
    (policies / "manifest.yaml").write_text(MANIFEST.replace("match:", "matches:"), encoding="utf-8")
    done = run(*command, str(policies))
    assert done.returncode == ExitCode.FAULTY
    assert "manifest.yaml:7" in done.stdout + done.stderr
    assert "matches" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_port_in_use_is_one_line_and_an_exit_code(policies: Path) -> None:
    """The line names the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(
            "serve", "--policies", str(policies), "--listen", address, "--quiet", "--log-format", "json"
        )
    assert done.returncode == ExitCode.LISTEN
    lines = [line for line in done.stderr.splitlines() if not _is_log(line)]
    assert len(lines) == 1
    assert address in lines[0]


def _is_log(line: str) -> bool:
    try:
        return "level" in json.loads(line)
    except ValueError:
        return False
