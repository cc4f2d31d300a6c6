"""Runs a directory's suites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdp.errors import PdpError
from pdp.policy.conformance import _cel, _rego
from pdp.policy.conformance._isolate import answers
from pdp.policy.conformance._outcome import Case, Class, Result

if TYPE_CHECKING:
    from pathlib import Path

_JUDGES = {"rego": _rego.judge, "cel": _cel.judge}


def run(directory: Path) -> list[Result]:
    """Every case of the suites in `directory`.

    Raises:
        PdpError: When it holds no suite.
    """
    cases: list[Case] = []
    if (directory / "opa").is_dir():
        cases += _rego.read_cases(directory / "opa")
    if (directory / "cel" / "testdata").is_dir():
        cases += _cel.read_cases(directory / "cel")
    if not cases:
        raise PdpError(f"`{directory}` holds neither `opa/` nor `cel/testdata/`")
    posed = [case for case in cases if not case.skip]
    loaded = _classes(posed, checks=True)
    below = _classes(posed, checks=False)
    found = {id(case): (one, other) for case, one, other in zip(posed, loaded, below, strict=True)}
    results = []
    for case in cases:
        if case.skip:
            results.append(Result(case, Class.SKIPPED, Class.SKIPPED, case.skip))
            continue
        (one, detail), (other, _) = found[id(case)]
        results.append(Result(case, one, other, detail))
    return results


def _classes(cases: list[Case], *, checks: bool) -> list[tuple[Class, str]]:
    questions = [(case.engine, {**case.question, "checks": checks}) for case in cases]
    return [
        _JUDGES[case.engine](case, answer) for case, answer in zip(cases, answers(questions), strict=True)
    ]
