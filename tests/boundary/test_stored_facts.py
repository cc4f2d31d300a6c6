"""Policies on stored facts: how an author tests them, and an engine in a process decides on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pdp.engine import Engine
from pdp.errors import DocumentError, InvalidRequestError, PolicySetError
from pdp.model import FactKind, FactName, FactPut, ReasonCode, request_from_mapping
from pdp.policy import run_tests

MANIFEST = """
version: 1
policies:
  - id: posture
    kind: access
    engine: rego
    source: posture.rego
    stored_facts: {device: {max_age: 15m}}
"""
POSTURE = """package posture

import rego.v1

allow if not input.facts.device.age_seconds > 3600

deny contains {"code": "lost", "message": "the device is lost"} if input.facts.device.value.lost == true

deny contains {"code": "stale", "message": "the posture is older than five minutes"} if {
	input.facts.device.age_seconds > 300
}
"""
POSTURE_TEST = """package posture_test

import rego.v1

import data.posture

test_lost_device_is_denied if {
	fact := {"value": {"lost": true}, "age_seconds": 1, "version": 1, "source": "mdm"}
	count(posture.deny) == 1 with input as {"facts": {"device": fact}}
}

test_other_device_is_allowed if {
	fact := {"value": {}, "age_seconds": 1, "version": 1, "source": "mdm"}
	posture.allow with input as {"facts": {"device": fact}}
}
"""
REQUEST = {
    "questions": ["access"],
    "tenant": "shop",
    "subject": {"id": "ann"},
    "action": "read",
    "resource": {"id": "/notes/1"},
    "device": {"id": "laptop"},
}
CASES = {
    "given": {"read": REQUEST},
    "cases": [
        {
            "name": "nothing is stored",
            "from": "read",
            "expect": {"effect": "DENY", "questions": {"access": {"codes": ["FACT_MISSING"]}}},
        },
        {
            "name": "fresh",
            "from": "read",
            "stored_facts": [{"kind": "device", "id": "laptop", "value": {"lost": False}, "age": "1m"}],
            "expect": {"effect": "ALLOW"},
        },
        {
            "name": "the policy reads the age",
            "from": "read",
            "stored_facts": [{"kind": "device", "id": "laptop", "value": {}, "age": "6m"}],
            "expect": {"effect": "DENY", "questions": {"access": {"details": ["stale"]}}},
        },
        {
            "name": "too old for the entry",
            "from": "read",
            "stored_facts": [{"kind": "device", "id": "laptop", "value": {}, "age": "16m"}],
            "expect": {"effect": "DENY", "questions": {"access": {"codes": ["FACT_TOO_OLD"]}}},
        },
    ],
}


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A policy on posture, with its test."""
    for name, text in [
        ("manifest.yaml", MANIFEST),
        ("posture.rego", POSTURE),
        ("posture_test.rego", POSTURE_TEST),
    ]:
        (tmp_path / name).write_text(text)
    return tmp_path


def test_tests_give_stored_facts_as_input_and_cases_store_them(policies: Path) -> None:
    """What is required may be negated: it is there whenever the policy is asked."""
    cases = policies / "cases.yaml"
    cases.write_text(yaml.safe_dump(CASES))
    report = run_tests(policies, [cases])
    assert [(one.name, one.message) for one in report.failed] == []
    assert len(report.results) == 6


@pytest.mark.parametrize(
    ("change", "path"), [({"age": "old"}, "stored_facts[0].age"), ({"kind": "x"}, "stored_facts[0].kind")]
)
def test_a_fact_of_a_case_that_is_none_is_refused_by_path(
    policies: Path, change: dict[str, str], path: str
) -> None:
    """Before anything is asked."""
    fact = {"kind": "device", "id": "laptop", "value": {}, **change}
    cases = policies / "cases.yaml"
    cases.write_text(yaml.safe_dump({"cases": [{"name": "x", "request": REQUEST, "stored_facts": [fact]}]}))
    with pytest.raises(DocumentError) as caught:
        run_tests(policies, [cases])
    assert caught.value.path.endswith(path)


def test_an_engine_decides_on_what_is_put_into_it(policies: Path) -> None:
    """And refuses an older version as a server does."""
    engine = Engine(policies)
    name = FactName(FactKind.DEVICE, "laptop", "shop")
    assert engine.put_facts([FactPut(name, {}, "mdm", 3)]) == (3,)
    decision = engine.check(request_from_mapping(REQUEST))
    assert decision.allowed
    assert [(one.name, one.version, one.source) for one in decision.facts if one.version] == [
        ("facts.device", 3, "mdm")
    ]
    with pytest.raises(InvalidRequestError) as caught:
        engine.put_facts([FactPut(name, {}, "mdm", 3)])
    assert caught.value.field == "facts[0].version"
    engine.put_facts([FactPut(name, {"lost": True}, "mdm")])
    assert engine.check(request_from_mapping(REQUEST)).verdicts[0].reasons[0].code is ReasonCode.POLICY_DENY


def test_a_fact_that_the_entry_does_not_name_may_not_be_read(policies: Path) -> None:
    """The read would be undefined for ever, and a denial on it would never come."""
    (policies / "manifest.yaml").write_text(MANIFEST.replace("device: {", "subject: {"))
    with pytest.raises(PolicySetError) as caught:
        Engine(policies)
    assert {one.row for one in caught.value.diagnostics} == {5, 7, 10}
    assert "stored_facts: {device: {}}" in str(caught.value)
