"""Every case gets its decision, and the same one through every door and engine."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import operator
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pdp import CheckRequest, Client, ClientOptions, Decision, Effect, Engine
from pdp.cli import ExitCode, app
from pdp.config import Config
from pdp.engine import Server
from pdp.errors import DocumentError
from pdp.model import request_from_mapping
from pdp.policy import Case, cross_check, mismatches, read_cases

HERE = Path(__file__).parent
CASES = [case for file in sorted(HERE.glob("*.yaml")) for case in read_cases(file)]
NAMES = [f"{Path(case.file).stem}.{case.name}" for case in CASES]

# What differs between two answers to one request: ids, moments and what others spent meanwhile.
VOLATILE = frozenset(
    {"decision_id", "request_id", "age", "memoised", "remaining", "reset_after", "retry_after"}
)


@pytest.fixture(scope="module")
def engine(pdp_policies: Path) -> Engine:
    """The in-process door."""
    return Engine(pdp_policies)


@pytest.fixture(scope="module")
def client(pdp_policies: Path) -> Iterator[Client]:
    """The gRPC door."""
    local = "127.0.0.1:0"
    config = Config(policies=pdp_policies, listen=local, admin_listen=local, http_listen=local, watch=False)
    with (
        Server(config) as server,
        Client(server.start().decision, ClientOptions(timeout_seconds=20.0)) as connected,
    ):
        yield connected


def lasting(value: Any) -> Any:
    """`value` without what differs between two answers to one request."""
    match value:
        case Mapping():
            return {key: lasting(one) for key, one in value.items() if not _is_volatile(key)}
        case list() | tuple():
            return [lasting(one) for one in value]
        case _:
            return value


def _is_volatile(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}_") for name in VOLATILE)


def document_of(request: CheckRequest) -> dict[str, Any]:
    """The JSON document of a request, as a user writes it."""

    def plain(value: Any) -> Any:
        match value:
            case Mapping():
                return {key: plain(one) for key, one in value.items() if one not in (None, "", ())}
            case list() | tuple():
                return [plain(one) for one in value]
            case bytes():
                return value.decode()
            case datetime():
                return value.isoformat()
            case _:
                return value

    document: dict[str, Any] = plain(asdict(request))
    return document


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_case_gets_its_decision_in_process(case: Case, engine: Engine) -> None:
    """The engine answers as the case says."""
    assert mismatches(case, engine.check(case.request)) == ()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_door_gives_the_same_decision(
    case: Case, engine: Engine, client: Client, pdp_policies: Path
) -> None:
    """In-process, gRPC and the command line agree on all that lasts."""
    in_process: Decision = engine.check(case.request)
    over_grpc = client.check(case.request)
    assert lasting(over_grpc.to_mapping()) == lasting(in_process.to_mapping())
    command = ["check", "all", "--input", "-", "--json", "--policies", str(pdp_policies)]
    done = CliRunner().invoke(app, command, input=json.dumps(document_of(case.request)))
    assert done.exit_code == (ExitCode.OK if in_process.effect is Effect.ALLOW else ExitCode.DENY), (
        done.output
    )
    assert lasting(json.loads(done.stdout)) == lasting(json.loads(json.dumps(in_process.to_mapping())))


def test_names_are_used_once() -> None:
    """A case can be named by what it states."""
    assert len(set(NAMES)) == len(NAMES)


def test_cel_and_limits_agree_with_cel_python(pdp_policies: Path) -> None:
    """Every CEL policy, and every limit's key and condition, on every case and on the policies' own tests."""
    report = cross_check(pdp_policies, None, _requests())
    assert report.differences == ()
    assert {one.reason for one in report.skipped} == {"no OPA binary is given"}
    assert report.compared > 300


def test_rego_agrees_with_a_real_opa(pdp_policies: Path) -> None:
    """Every Rego policy on every case, and every Rego test, against OPA itself."""
    opa = os.environ.get("PDP_OPA") or shutil.which("opa")
    if not opa:
        pytest.skip("no OPA: set PDP_OPA to its binary, or put `opa` on PATH")
    report = cross_check(pdp_policies, Path(opa), _requests())
    assert report.differences == ()
    assert report.skipped == ()
    assert report.compared > 700


def test_engines_agree_on_damaged_requests(pdp_policies: Path) -> None:
    """Every field of every given request is removed, turned or emptied once; the engines still agree."""
    opa = os.environ.get("PDP_OPA") or shutil.which("opa")
    report = cross_check(pdp_policies, Path(opa) if opa else None, _damaged_requests())
    assert report.differences == ()
    assert report.compared > (3000 if opa else 500)


def _damaged_requests() -> dict[str, CheckRequest]:
    """The corpus' given requests, each with one field damaged, by file, name and damage."""
    requests: dict[str, CheckRequest] = {}
    for file in sorted(HERE.glob("*.yaml")):
        for name, given in yaml.safe_load(file.read_text(encoding="utf-8"))["given"].items():
            for path, value in _fields(given):
                for damage in (None, *_damages(value)):
                    document = copy.deepcopy(given)
                    *parents, last = path
                    inner = functools.reduce(operator.getitem, parents, document)
                    del inner[last]
                    if damage is not None:
                        inner[last] = damage
                    # What is no request any more, such as a subject without an id, meets no policy.
                    with contextlib.suppress(DocumentError):
                        key = f"{file.stem}.{name}: {'.'.join(path)} = {damage!r}"
                        requests[key] = request_from_mapping(document)
    return requests


def _fields(
    document: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field but the questions, with its path."""
    for key, value in document.items():
        if key != "questions":
            yield (*above, key), value
            if isinstance(value, Mapping):
                yield from _fields(value, (*above, key))


def _damages(value: Any) -> tuple[Any, ...]:
    """Other values of the same type."""
    match value:
        case bool():
            return (not value,)
        case int() | float():
            return (value + 1, -value, 0)
        case list():
            return ([],)
        case str():
            return ("x", "")
        case _:
            return ()


def _requests() -> dict[str, CheckRequest]:
    return {name: case.request for name, case in zip(NAMES, CASES, strict=True)}
