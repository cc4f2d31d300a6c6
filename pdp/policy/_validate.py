"""Builds a policy set to see whether it would serve."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pdp import _core
from pdp.engine import PolicyInfo
from pdp.errors import Diagnostic

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Validation:
    """What building came to.

    Attributes:
        revision: Revision of the set; empty where it does not build.
        policies: Its policies; none where it does not build.
        diagnostics: Every fault; none where it builds.
    """

    revision: str
    policies: tuple[PolicyInfo, ...]
    diagnostics: tuple[Diagnostic, ...]

    def to_mapping(self) -> dict[str, Any]:
        """The validation as a JSON document."""
        return {"valid": not self.diagnostics, **asdict(self)}


def validate(directory: Path) -> Validation:
    """Builds the policy set in `directory`; faults are in the answer."""
    answer = json.loads(_core.validate(str(directory)))
    return Validation(
        answer.get("revision", ""),
        tuple(PolicyInfo(**one) for one in answer.get("policies", ())),
        tuple(Diagnostic(**one) for one in answer.get("diagnostics", ())),
    )
