"""The sample estate: policies that come with the package, and a question of each kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pdp.errors import ConfigError
from pdp.model import Question

_PACKAGE = Path(__file__).resolve().parent.parent


def sample_policies() -> Path:
    """Directory of the sample estate's policy set.

    Raises:
        ConfigError: When this installation came without it.
    """
    # The checkout's own first: a copy that a build left beside it may be old.
    for directory in (_PACKAGE.parent / "policies", _PACKAGE / "_policies"):
        if (directory / "manifest.yaml").is_file():
            return directory
    raise ConfigError("policies", "this installation holds no sample estate; name a policy directory")


def sample_questions() -> dict[Question, dict[str, Any]]:
    """A request document of each kind that the sample estate answers."""
    directory = _PACKAGE / "_samples"
    return {one: json.loads((directory / f"{one}.json").read_text(encoding="utf-8")) for one in Question}
