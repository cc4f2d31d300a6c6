"""Answers are classed by what the case expects, and the page shows each class."""

from __future__ import annotations

import pytest

from pdp.policy.conformance import Case, Class, Result, _cel, _rego, report

ROWS = Case("rego", "sets", "sets/one", {}, {"rows": [{"x": [2, 1]}], "sort": True, "generated": False})
ERROR = Case("rego", "sets", "sets/bad", {})
NUMBER = Case("cel", "basic", "self/one", {}, {"int": "1"})
FAULT = Case("cel", "basic", "self/bad", {})


@pytest.mark.parametrize(
    ("case", "answer", "expected"),
    [
        (ROWS, {"bindings": [{"x": [1, 2.0]}]}, Class.PASS),
        (ROWS, {"bindings": [{"x": [1, 3]}]}, Class.WRONG),
        (ROWS, {"bindings": []}, Class.WRONG),
        (ROWS, {"error": "conflict"}, Class.FAILED),
        (ROWS, {"diagnostics": [{}]}, Class.REFUSED),
        (ROWS, {"crash": "exit code -11"}, Class.CRASH),
        (ROWS, {"unposed": "its input holds a set"}, Class.SKIPPED),
        (ERROR, {"error": "conflict"}, Class.PASS),
        (ERROR, {"bindings": []}, Class.MISSED),
    ],
)
def test_rego_answer_is_classed(case: Case, answer: dict[str, object], expected: Class) -> None:
    """A refusal is no pass, and silence where an error is due is a missed one."""
    assert _rego.judge(case, answer)[0] is expected


@pytest.mark.parametrize(
    ("case", "answer", "expected"),
    [
        (NUMBER, {"value": {"int": "1"}}, Class.PASS),
        (NUMBER, {"value": {"uint": "1"}}, Class.WRONG),
        (NUMBER, {"value": {"double": 1.0}}, Class.WRONG),
        (NUMBER, {"failed": "no such key"}, Class.FAILED),
        (NUMBER, {"refused": ["undeclared"]}, Class.REFUSED),
        (FAULT, {"failed": "no such key"}, Class.PASS),
        (FAULT, {"value": {"bool": False}}, Class.MISSED),
    ],
)
def test_cel_answer_is_classed(case: Case, answer: dict[str, object], expected: Class) -> None:
    """Types count: an unsigned one is no one."""
    assert _cel.judge(case, answer)[0] is expected


def test_cel_maps_compare_without_order_and_times_by_instant() -> None:
    """As the suite says of equality."""
    one, other = [{"string": "a"}, {"int": "1"}], [{"string": "b"}, {"double": "NaN"}]
    assert _cel._key({"map": [one, other]}) == _cel._key({"map": [other, one]})
    utc, offset = {"timestamp": "2009-02-13T23:31:30Z"}, {"timestamp": "2009-02-14T00:31:30+01:00"}
    assert _cel._key(utc) == _cel._key(offset)
    nanosecond = {"timestamp": "2009-02-13T23:31:30.000000001Z"}
    assert _cel._key(utc) != _cel._key(nanosecond)


def test_page_lists_wrong_cases_by_name_and_what_loading_keeps_away() -> None:
    """What is wrong can be looked up, and so can what is only wrong below."""
    page = report(
        [
            Result(ROWS, Class.WRONG, Class.WRONG, "[]"),
            Result(ERROR, Class.REFUSED, Class.MISSED),
            Result(NUMBER, Class.SKIPPED, Class.SKIPPED, "needs a container"),
        ]
    )
    assert "### Wrong answers as loaded\n\n- `sets`: `sets/one`\n" in page
    assert "- `sets`: `sets/bad` (missed error; refused at load when loaded)" in page
    assert "- cel, 1: needs a container: `basic/self/one`" in page
