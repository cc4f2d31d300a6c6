"""What the tests of the core's boundary share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.model import Behaviour, CheckRequest, Device, Function, Location, Question, Resource, Subject

ALLOW_ADA = """package boundary.access

allow if input.subject.id == "ada"

deny contains {"code": "banned", "message": "the subject is banned"} if "banned" in input.subject.groups
"""
LIMITS = """limits:
  - {name: per-subject, algorithm: gcra, limit: 2, window: 1h, burst: 2, key: subject.id}
"""
MANIFEST = """version: 1
policies:
  - {id: boundary.access, kind: access, engine: rego, source: access.rego}
  - {id: boundary.limits, kind: rate_limit, engine: limits, source: limits.yaml}
"""
ADA = CheckRequest(
    questions=(Question.ACCESS,),
    subject=Subject("ada", type="user", roles=("reader",)),
    action="read",
    resource=Resource("/books/1"),
    function=Function("library"),
    device=Device(managed=True),
    location=Location("DE"),
    behaviour=Behaviour(0.1),
)


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A small policy set of its own, which tests may change."""
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "manifest.yaml").write_text(MANIFEST)
    (directory / "access.rego").write_text(ALLOW_ADA)
    (directory / "limits.yaml").write_text(LIMITS)
    return directory


@pytest.fixture
def pdp_policies(policies: Path) -> Path:
    """The fixtures of the package's own plugin serve this set."""
    return policies


@pytest.fixture
def ada() -> CheckRequest:
    """A request that the set allows."""
    return ADA


@pytest.fixture
def edit(policies: Path) -> Callable[[str, str], None]:
    """Replaces a text in the access policy."""

    def replace(old: str, new: str) -> None:
        file = policies / "access.rego"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return replace
