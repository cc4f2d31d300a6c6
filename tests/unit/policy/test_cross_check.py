"""Cross-checking finds what differs, and says what it did not compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pdp import CheckRequest, Destination, Function, Question
from pdp.policy import cross_check
from pdp.policy._cel_reference import CelReference
from pdp.policy._document import input_document
from pdp.policy._verdict import PolicyVerdict

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """\
version: 1
policies:
  - {id: calls, kind: segmentation, engine: cel, source: calls.yaml}
  - {id: writes, kind: access, engine: rego, source: writes.rego}
"""

CALLS = """\
name: calls
rule:
  variables:
    - name: own
      expression: workload.id == destination.id
  match:
    - condition: variables.own
      rule:
        match:
          - condition: has(destination.port)
            output: 'true'
    - output: '{"effect": "deny", "code": "stranger"}'
"""

TESTS = """\
tests:
  - name: stranger_is_denied
    input:
      function: {id: a, labels: {}, roles: [], attributes: {}}
      destination: {id: b, labels: {}, attributes: {}}
    expect: {effect: deny}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A set of one CEL and one Rego policy."""
    for name, text in (
        ("manifest.yaml", MANIFEST),
        ("calls.yaml", CALLS),
        ("calls_test.yaml", TESTS),
        ("writes.rego", 'package writes\n\nallow if input.action == "write"\n'),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def call(destination: Destination) -> CheckRequest:
    """A call of function `a`."""
    return CheckRequest(
        questions=(Question.SEGMENTATION,), function=Function(id="a"), destination=destination
    )


REQUESTS = {
    "own port": call(Destination(id="a", port=443)),
    "own, no port": call(Destination(id="a")),
    "stranger": call(Destination(id="b")),
}


def test_equal_answers_are_counted_by_policy(policies: Path) -> None:
    """The policy's test and each request that asks its question."""
    report = cross_check(policies, None, REQUESTS)
    assert report.differences == ()
    assert report.by_policy == {"calls": 4}
    assert report.agrees


def test_policy_without_a_reference_is_named_with_the_reason(policies: Path) -> None:
    """Nothing is left out silently."""
    (skip,) = cross_check(policies, None, REQUESTS).skipped
    assert (skip.policy_id, skip.reason) == ("writes", "no OPA binary is given")


def test_nothing_compared_is_no_agreement(policies: Path) -> None:
    """An empty comparison proves nothing."""
    (policies / "calls_test.yaml").unlink()
    assert not cross_check(policies, None).agrees


def test_difference_names_policy_case_and_both_answers(
    policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference that answers otherwise is seen."""
    monkeypatch.setattr(CelReference, "check", lambda *_: PolicyVerdict.allow([]))
    (difference,) = [
        one for one in cross_check(policies, None, REQUESTS).differences if one.case == "stranger"
    ]
    assert str(difference) == "calls: stranger: here DENY stranger, cel-python ALLOW"


def test_document_holds_maps_and_lists_and_leaves_unknown_scalars_out() -> None:
    """As the contract says of what policies see."""
    document = input_document(call(Destination(id="a")))
    assert document == {
        "function": {"id": "a", "labels": {}, "roles": [], "attributes": {}},
        "destination": {"id": "a", "labels": {}, "attributes": {}},
        "limit": {"hits": 1, "descriptors": {}},
    }
