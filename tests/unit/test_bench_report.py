"""The performance page is rendered from results, and from nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BENCH = REPOSITORY / "bench"


@pytest.fixture(scope="module")
def report() -> Any:
    """The module that renders; it is not installed."""
    sys.path.insert(0, str(BENCH))
    try:
        import report  # noqa: PLC0415 - found through the path above

        yield report
    finally:
        sys.path.remove(str(BENCH))


def results(rps: float) -> dict[str, Any]:
    """Results of one run."""
    latency = {"mean": 1.0, "p50": 1.0, "p90": 2.0, "p99": 3.0, "p999": 4.0, "max": 5.0}
    run = {
        "id": "pdp",
        "target": "pdp",
        "report": {"decisions_per_second": rps, "latency_us": latency},
        "server_us_per_decision": 10.0,
        "resident_mib": 50.0,
    }
    return {"scenarios": {"access": {"runs": {"pdp": run}}}, "in_process": None}


def test_committed_page_is_what_the_results_render(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page and plots were not edited, and are not older than the results."""
    monkeypatch.setattr(sys, "argv", ["report.py", "--check"])
    assert report.main() == 0


def test_budget_is_met_at_its_bound_and_missed_below(report: Any) -> None:
    """A bound itself is good enough."""
    budget = {"what": "x", "value": "access/pdp.rps", "at_least": 100, "unit": "/s", "cause": "c"}
    assert [row["met"] for row in report.budget_rows(results(100.0), [budget])] == [True]
    assert [row["met"] for row in report.budget_rows(results(99.9), [budget])] == [False]


def test_budget_without_a_result_is_not_judged(report: Any) -> None:
    """What was not run is neither met nor missed."""
    budget = {"what": "x", "value": "access/other.rps", "at_least": 100, "unit": "/s"}
    assert report.budget_rows(results(1.0), [budget]) == []


def test_numbers_of_a_cause_come_from_the_results(report: Any) -> None:
    """A cause names the run, never the number."""
    assert report.fill(results(1234.0), "at {access/pdp.rps} a second") == "at 1,234 a second"


def test_results_name_no_void_run() -> None:
    """The published run has a result for everything it asked."""
    published = json.loads((BENCH / "results" / "latest.json").read_text(encoding="utf-8"))
    assert published["void"] == {}
    assert not published["quick"]
