"""Validating, testing and free queries through the boundary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdp import _core
from pdp.errors import ConfigError, PolicySetError
from pdp.policy import Outcome, run_tests, validate

MODULE = {"path": "p.rego", "text": "package p\n\ndouble := input.n * 2\n"}


def ask(function: Callable[[str], str], **document: Any) -> Any:
    """The answer to a document."""
    return json.loads(function(json.dumps(document)))


def test_valid_set_tells_its_policies(policies: Path) -> None:
    """A set that builds has a revision and no diagnostics."""
    validation = validate(policies)
    assert validation.diagnostics == ()
    assert [one.id for one in validation.policies] == ["boundary.access", "boundary.limits"]
    assert len(validation.revision) == 16


def test_fault_has_file_row_and_column(policies: Path, edit: Callable[[str, str], None]) -> None:
    """Where editors can jump to."""
    edit("allow if", "allow iff")
    (first, *_) = validate(policies).diagnostics
    assert (first.file, first.row) == ("access.rego", 3)
    assert first.column > 0
    assert str(first).startswith(f"access.rego:3:{first.column}: rego_syntax: ")


def test_unknown_manifest_key_is_named(policies: Path) -> None:
    """A misspelt key is no silent default."""
    manifest = policies / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("kind: access", "kind: access, modde: shadow"))
    (first, *_) = validate(policies).diagnostics
    assert first.file == "manifest.yaml"
    assert "modde" in first.message


def test_rego_tests_run_beside_their_policy(policies: Path) -> None:
    """Passing, failing and failing to run are three things; uncovered rows are told."""
    (policies / "access_test.rego").write_text(
        "package boundary.access_test\n\n"
        "import data.boundary.access\n\n"
        'test_ada_may if access.allow with input as {"subject": {"id": "ada", "groups": []}}\n\n'
        'test_eve_may if access.allow with input as {"subject": {"id": "eve", "groups": []}}\n'
    )
    report = run_tests(policies)
    assert {one.name: one.outcome for one in report.results} == {
        "test_ada_may": Outcome.PASS,
        "test_eve_may": Outcome.FAIL,
    }
    (failed,) = report.failed
    assert (failed.file, failed.row) == ("access_test.rego", 7)
    assert report.untested == ()
    assert [one.file for one in report.coverage] == ["access.rego"]


def test_policy_without_a_test_is_named(policies: Path) -> None:
    """What nobody tests is said; limits are held by cases."""
    assert run_tests(policies).untested == ("boundary.access",)


def test_test_file_that_does_not_compile_is_an_error(policies: Path) -> None:
    """Tests that cannot run have not passed."""
    (policies / "access_test.rego").write_text("package boundary.access_test\n\ntest_x if {\n")
    with pytest.raises(PolicySetError, match=r"access_test\.rego:"):
        run_tests(policies)


def test_cases_hold_whole_decisions(policies: Path, tmp_path: Path) -> None:
    """A case compares effect, codes and policies, and says what differs."""
    cases = tmp_path / "cases.yaml"
    cases.write_text(
        """
given:
  read: {questions: [access], subject: {id: ada}, action: read, resource: {id: /books/1}}
cases:
  - name: ada_may
    from: read
    expect: {effect: ALLOW, questions: {access: {codes: [POLICY_ALLOW], policy_ids: [boundary.access]}}}
  - name: eve_may
    from: read
    set: {subject.id: eve}
    expect: {effect: ALLOW}
  - name: nobody_is_asked
    from: read
    unset: [subject]
    expect: {effect: DENY}
"""
    )
    results = {one.name: one for one in run_tests(policies, [cases]).results}
    assert results["ada_may"].outcome is Outcome.PASS
    assert results["eve_may"].message == "effect: expected 'ALLOW', came 'DENY'"
    assert results["nobody_is_asked"].outcome is Outcome.ERROR


def test_rego_query_has_three_endings() -> None:
    """Bindings, diagnostics or an error; undefined is no binding."""
    query = {"modules": [MODULE], "query": "x := data.p.double"}
    assert ask(_core.rego_query, **query, input={"n": 21}) == {"bindings": [{"x": 42}]}
    assert ask(_core.rego_query, **query, input={}) == {"bindings": []}
    broken = {**MODULE, "text": "package p\n\ndouble :="}
    assert ask(_core.rego_query, **{**query, "modules": [broken]})["diagnostics"][0]["row"] == 3


def test_cel_expression_has_four_endings() -> None:
    """A value, undefined, diagnostics or an error."""

    def evaluate(text: str, **bindings: Any) -> Any:
        return ask(_core.cel_evaluate, source={"path": "e.cel", "text": text}, bindings=bindings)

    assert evaluate("a + 1", a=41) == {"value": 42}
    assert evaluate("a +", a=1)["diagnostics"][0]["file"] == "e.cel"
    assert "error" in evaluate("a.b", a={})
    policy = {"path": "p.yaml", "text": 'name: p\nrule: {match: [{condition: "false", output: "true"}]}'}
    assert ask(_core.cel_evaluate, policy=True, source=policy) == {"undefined": True}


def test_document_with_an_unknown_key_is_refused() -> None:
    """The documents between the languages are closed."""
    with pytest.raises(ConfigError, match="modles"):
        ask(_core.rego_query, modles=[], query="x")
