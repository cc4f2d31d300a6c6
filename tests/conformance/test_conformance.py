"""The published conformance page is what a run gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdp.policy.conformance import Class, Result, report, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "conformance.md"


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """A run over the external cases."""
    directory = os.environ.get("PDP_CONFORMANCE_DIR")
    if not directory:
        pytest.skip("PDP_CONFORMANCE_DIR is not set: it names a directory with `opa/` and `cel/`")
    return run(Path(directory))


def test_no_case_kills_the_process(results: list[Result]) -> None:
    """A case may fail; it may never take the process with it."""
    assert [one.case.name for one in results if Class.CRASH in {one.loaded, one.below}] == []


def test_published_page_is_what_a_run_gives(results: list[Result]) -> None:
    """The page cannot drift from the engines."""
    assert report(results) == PAGE.read_text(encoding="utf-8")


def test_checks_at_load_make_no_answer_worse(results: list[Result]) -> None:
    """What the engine answers rightly is never answered wrongly because it was checked."""
    bad = {Class.WRONG, Class.MISSED}
    assert [one.case.name for one in results if one.loaded in bad and one.below not in bad] == []
