"""The command as people run it: exit codes, signals, output for machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pdp.engine import Addresses, sample_questions

PDP = [sys.executable, "-m", "pdp.cli"]
REQUEST: dict[str, Any] = {"subject": {"id": "ada"}, "action": "read", "resource": {"id": "/books/1"}}


def environment() -> dict[str, str]:
    """The environment without the settings of whoever runs the tests."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PDP_")}


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    command = [*PDP, *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


def check(policies: Path, subject: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Asks for access in process."""
    document = json.dumps({**REQUEST, "subject": {"id": subject}})
    return run("check", "access", "--policies", policies, "--input", "-", *more, stdin=document)


def test_exit_code_is_the_effect(policies: Path) -> None:
    """0 allows, 3 denies, 2 is no answer."""
    allowed, denied, refused = (check(policies, one) for one in ("ada", "eve", ""))
    assert [one.returncode for one in (allowed, denied, refused)] == [0, 3, 2]
    assert allowed.stdout.splitlines()[0] == "ALLOW"
    assert "boundary.access" in allowed.stdout
    assert "NOT_ALLOWED" in denied.stdout
    assert refused.stderr.startswith("pdp: subject.id: ")
    assert refused.stderr.count("\n") == 1


def test_json_is_one_document(policies: Path) -> None:
    """Machines get everything the answer holds."""
    document = json.loads(check(policies, "ada", "--json").stdout)
    assert document["allowed"] is True
    assert document["verdicts"][0]["reasons"][0]["policy_id"] == "boundary.access"


def test_in_process_and_over_grpc_agree(policies: Path, pdp_server: Addresses) -> None:
    """The command's two doors give the same verdicts."""
    local = json.loads(check(policies, "ada", "--json").stdout)
    remote = run(
        "check",
        "access",
        "--server",
        pdp_server.decision,
        "--input",
        "-",
        "--json",
        stdin=json.dumps(REQUEST),
    )
    assert json.loads(remote.stdout)["verdicts"] == local["verdicts"]


def test_nobody_answers() -> None:
    """One line and 2."""
    asked = run("check", "access", "--server", "127.0.0.1:1", "--input", "-", stdin=json.dumps(REQUEST))
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)


def test_health_asks_the_decision_point_itself(pdp_server: Addresses) -> None:
    """0 while it decides, 2 where nobody does."""
    assert run("health", "--server", pdp_server.decision).returncode == 0
    absent = run("health", "--server", "127.0.0.1:1")
    assert (absent.returncode, absent.stderr.count("\n")) == (2, 1)


def test_validate_prints_places(policies: Path) -> None:
    """file:row:column on standard output, 1 as the exit code; a good set prints its revision."""
    assert run("validate", policies).stdout.startswith("2 policies, revision ")
    (policies / "access.rego").write_text("package x\n\nallow iff {}\n")
    faulty = run("validate", policies)
    assert faulty.returncode == 1
    assert faulty.stdout.startswith("access.rego:3:")


def test_test_command_fails_with_its_tests(policies: Path) -> None:
    """1 where a test fails."""
    test = policies / "access_test.rego"
    test.write_text("package boundary.access_test\n\ntest_one if 1 == 1\n")
    assert run("test", policies).returncode == 0
    test.write_text("package boundary.access_test\n\ntest_one if 1 == 2\n")
    failed = run("test", policies)
    assert failed.returncode == 1
    assert "access_test.rego:3" in failed.stdout


def test_version_names_the_core() -> None:
    """Package and core may differ where an installation is mixed."""
    versions = json.loads(run("version", "--json").stdout)
    assert versions["pdp"] == versions["core"]


@contextmanager
def serving(policies: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server process and the log line that says where it listens."""
    local = "127.0.0.1:0"
    command = [*PDP, "serve", "--policies", str(policies), "--listen", local, "--http-listen", local]
    command += ["--admin-listen", local, "--log-format", "json", "--quiet", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        yield process, until(process, "serving")
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def until(process: subprocess.Popen[str], message: str) -> dict[str, Any]:
    """The log line with this message; those before it are skipped."""
    assert process.stderr is not None
    for line in process.stderr:
        event: dict[str, Any] = json.loads(line)
        if event["message"] == message:
            return event
    raise AssertionError(f"the server ended before it said `{message}`")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_ends_with_0(policies: Path, number: signal.Signals) -> None:
    """An orchestrator's and a person's way to stop it."""
    with serving(policies) as (process, event):
        asked = run("check", "access", "--server", event["listen"], "--input", "-", stdin=json.dumps(REQUEST))
        assert asked.returncode == 0
        process.send_signal(number)
        assert until(process, "draining")["signal"] == number.name
        assert process.wait(timeout=30) == 0


def test_sighup_reloads_and_a_faulty_set_changes_nothing(policies: Path) -> None:
    """The log says which revision serves, or why it did not change."""
    with serving(policies) as (process, _):
        access = policies / "access.rego"
        access.write_text(access.read_text() + "\n# changed\n")
        process.send_signal(signal.SIGHUP)
        assert len(until(process, "reloaded")["revision"]) == 16
        access.write_text("package")
        process.send_signal(signal.SIGHUP)
        assert any("access.rego" in one for one in until(process, "reload failed")["diagnostics"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_port_in_use_is_one_line_and_69(policies: Path) -> None:
    """The address is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = run("serve", "--policies", policies, "--listen", address, "--admin-listen", "none")
    assert failed.returncode == 69
    assert address in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_sample_estate_answers_a_question_of_each_kind() -> None:
    """What `pdp serve` prints to paste has an answer."""
    codes = {}
    for question, sample in sample_questions().items():
        word = question.value.replace("_", "-")
        codes[word] = run("check", word, "--input", "-", stdin=json.dumps(sample)).returncode
    assert codes == {"access": 0, "segmentation": 0, "egress": 3, "rate-limit": 0}
