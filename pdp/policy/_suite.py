"""Runs the tests that stand beside policies, and cases of whole decisions."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pdp import _core
from pdp.engine import Engine
from pdp.errors import Diagnostic, PolicySetError, RequestError
from pdp.policy._cases import mismatches, read_cases
from pdp.policy._manifest import PolicyEntry, read_data, read_entries
from pdp.policy._validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Outcome(StrEnum):
    """How a test ended."""

    PASS = "pass"  # noqa: S105 - an outcome
    FAIL = "fail"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test.

    Attributes:
        suite: Package, policy name or file of cases.
        name: Name of the test.
        file: File it stands in.
        row: Row in it; 0 where unknown.
        outcome: How it ended.
        message: What was expected and what came; empty where it passed.
        seconds: How long it took.
    """

    __test__ = False

    suite: str
    name: str
    file: str
    row: int
    outcome: Outcome
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which rows of a Rego module the tests reached.

    Attributes:
        file: The module.
        covered: Rows evaluated.
        not_covered: Rows with expressions that no test evaluated.
    """

    file: str
    covered: tuple[int, ...]
    not_covered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TestReport:
    """What a run came to.

    Attributes:
        results: One per test.
        coverage: One per Rego module.
        untested: Policies in Rego and CEL that no test stands beside.
    """

    __test__ = False

    results: tuple[TestResult, ...]
    coverage: tuple[Coverage, ...]
    untested: tuple[str, ...]

    @property
    def failed(self) -> tuple[TestResult, ...]:
        """Tests that did not pass."""
        return tuple(one for one in self.results if one.outcome is not Outcome.PASS)

    def to_mapping(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return {"passed": not self.failed, **asdict(self)}


def run_tests(directory: Path, cases: Iterable[Path] = ()) -> TestReport:
    """Runs every test of the policy set in `directory`, and the given files of cases.

    Raises:
        PolicySetError: When the set, or a test file, does not build.
        DocumentError: When a file of cases does not have its form.
    """
    validation = validate(directory)
    if validation.diagnostics:
        raise PolicySetError(validation.diagnostics)
    results: dict[tuple[str, str], TestResult] = {}
    rows: dict[str, tuple[set[int], set[int]]] = {}
    untested = []
    for entry in read_entries(directory):
        report = _policy_report(directory, entry)
        if report is None:
            # Limits answer by counting: cases hold them, no test can stand beside them.
            if entry.engine != "limits":
                untested.append(entry.id)
            continue
        # A library's tests run with each policy that uses it; one result stands for all that agree.
        for one in map(_result, report["results"]):
            known = results.get((one.file, one.name))
            if known is None or known.outcome is Outcome.PASS:
                results[one.file, one.name] = one
        for one in report.get("coverage", ()):
            covered, seen = rows.setdefault(one["file"], (set(), set()))
            covered.update(one["covered"])
            seen.update(one["covered"], one["not_covered"])
    coverage = tuple(
        Coverage(file, tuple(sorted(covered)), tuple(sorted(seen - covered)))
        for file, (covered, seen) in sorted(rows.items())
    )
    decided = [one for file in cases for one in _run_cases(directory, file)]
    return TestReport((*results.values(), *decided), coverage, tuple(untested))


def _policy_report(directory: Path, entry: PolicyEntry) -> dict[str, Any] | None:
    """The core's report on one policy; None where no test stands beside it."""
    if entry.engine == "rego":
        sources = [entry.source, *entry.libraries]
        tests = [name.removesuffix(".rego") + "_test.rego" for name in sources]
        tests = [name for name in tests if (directory / name).is_file()]
        if not tests:
            return None
        modules = [_module(directory, name) for name in (*sources, *tests)]
        question = {
            "modules": modules,
            "data": read_data(directory, entry),
            "kind": entry.kind,
            "required_facts": entry.required_facts,
        }
        return _answer(_core.rego_tests(json.dumps(question)))
    if entry.engine == "cel" and (directory / entry.test).is_file():
        question = {"policy": _module(directory, entry.source), "tests": _module(directory, entry.test)}
        return _answer(_core.cel_tests(json.dumps(question)))
    return None


def _module(directory: Path, name: str) -> dict[str, str]:
    return {"path": name, "text": (directory / name).read_text(encoding="utf-8")}


def _answer(text: str) -> dict[str, Any]:
    """The core's report.

    Raises:
        PolicySetError: When the sources do not build.
    """
    answer: dict[str, Any] = json.loads(text)
    if "diagnostics" in answer:
        raise PolicySetError([Diagnostic(**one) for one in answer["diagnostics"]])
    return answer


def _result(row: dict[str, Any]) -> TestResult:
    return TestResult(**{**row, "outcome": Outcome(row["outcome"])})


def _run_cases(directory: Path, file: Path) -> Iterator[TestResult]:
    """Results of a file of cases, in an engine of their own: they share its counters."""
    engine = Engine(directory)
    for case in read_cases(file):
        began = time.perf_counter()
        try:
            if case.stored_facts:
                engine.put_facts(case.stored_facts)
            faults = mismatches(case, engine.check(case.request))
            outcome = Outcome.FAIL if faults else Outcome.PASS
        except RequestError as fault:
            faults, outcome = (f"no decision: {fault}",), Outcome.ERROR
        seconds = time.perf_counter() - began
        yield TestResult(file.stem, case.name, str(file), 0, outcome, "; ".join(faults), seconds)
