"""The benchmarks' estates: repeatable, rightly labelled, and in the load generator's format."""

from __future__ import annotations

import json
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def estates() -> Any:
    """The package that generates estates; it is not installed."""
    sys.path.insert(0, str(BENCH))
    try:
        import estates  # noqa: PLC0415 - found through the path above

        yield estates
    finally:
        sys.path.remove(str(BENCH))


def scenarios() -> list[dict[str, Any]]:
    """Every scenario file."""
    return [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(BENCH.glob("scenarios/*.yaml"))
    ]


def test_same_parameters_give_the_same_requests(estates: Any) -> None:
    """Two runs ask the same questions."""
    first, second = (estates.make_estate("access", requests=50).work("pdp").records for _ in range(2))
    assert first == second


def test_all_targets_are_asked_the_same_questions(estates: Any) -> None:
    """A peer gets the decision point's questions with the same right answers."""
    estate = estates.make_estate("access", requests=200)
    answers = [
        [one.expectation for one in estate.work(target).records] for target in ("pdp", "opa", "cerbos")
    ]
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0])) == 2


def test_zipf_prefers_the_first_rank(estates: Any) -> None:
    """The most frequent subject is asked about far more often than the median one."""
    estate = estates.make_estate("access", requests=5000, zipf=1.1)
    asked = Counter(question.user for question in estate.questions).most_common()
    assert asked[0][0] == "user-0000"
    assert asked[0][1] > 20 * asked[len(asked) // 2][1]


def test_request_file_is_split_at_lengths(estates: Any, tmp_path: Path) -> None:
    """Records are written as index, length and body."""
    work = estates.make_estate("limits", keys=3).work("pdp")
    work.write(tmp_path / "work.bin")
    raw = (tmp_path / "work.bin").read_bytes()
    bodies = []
    while raw:
        expectation, length = struct.unpack_from("<HI", raw)
        assert expectation == 0
        bodies.append(raw[6 : 6 + length])
        raw = raw[6 + length :]
    assert bodies == [one.body for one in work.records]


def test_payloads_have_their_size(estates: Any) -> None:
    """A payload is within a line of the size it is named by."""
    for size in (512, 4096, 65536):
        assert all(
            abs(len(one) - size) < 200 for one in estates.make_estate("egress", payload_bytes=size).payloads
        )


def test_every_named_policy_source_is_written(estates: Any, tmp_path: Path) -> None:
    """A manifest names no file that its set lacks."""
    for scenario in scenarios():
        directory = tmp_path / scenario["name"]
        directory.mkdir()
        estates.make_estate(**scenario["estate"]).policies().write(directory)
        manifest = yaml.safe_load((directory / "manifest.yaml").read_text(encoding="utf-8"))
        for entry in manifest["policies"]:
            assert all((directory / name).is_file() for name in [entry["source"], *entry.get("data", [])])


def test_budgets_name_runs_that_exist() -> None:
    """Every budget is read from a run of a scenario, or from the in-process results."""
    runs = {f"{scenario['name']}/{run['id']}" for scenario in scenarios() for run in scenario["runs"]}
    for budget in yaml.safe_load((BENCH / "budgets.yaml").read_text(encoding="utf-8")):
        for key in {"value", "over", "less"} & budget.keys():
            place = budget[key].rpartition(".")[0]
            assert place in runs or place.startswith("in_process/"), budget[key]


def test_half_of_saturation_follows_its_saturated_run() -> None:
    """An open-loop run takes its rate from a run before it."""
    for scenario in scenarios():
        seen: set[str] = set()
        for run in scenario["runs"]:
            assert run.get("half_of") is None or run["half_of"] in seen, json.dumps(run)
            seen.add(run["id"])
