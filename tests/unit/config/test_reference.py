"""The reference pages are what the code generates, and every setting explains itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pdp.config import settings

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = ("config.md", "cli.md")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages generated just now."""
    root = tmp_path_factory.mktemp("reference")
    script = REPOSITORY / "scripts" / "generate_reference.py"
    subprocess.run([sys.executable, str(script), "--root", str(root)], check=True)
    return root / "docs" / "reference"


@pytest.mark.parametrize("page", PAGES)
def test_committed_page_is_what_the_code_generates(fresh: Path, page: str) -> None:
    """Run scripts/generate_reference.py where this fails."""
    assert (REPOSITORY / "docs" / "reference" / page).read_text() == (fresh / page).read_text()


def test_every_setting_says_what_it_means() -> None:
    """No setting without a sentence, a range and a default."""
    for one in settings():
        assert one.description.endswith("."), one.key
        assert one.range, one.key
        assert one.default, one.key
