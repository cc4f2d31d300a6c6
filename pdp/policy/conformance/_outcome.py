"""A case, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Class(StrEnum):
    """How an engine did on a case."""

    PASS = "pass"  # noqa: S105 - no password
    REFUSED = "refused at load"
    FAILED = "error instead of an answer"
    WRONG = "wrong answer"
    MISSED = "missed error"
    CRASH = "crash"
    SKIPPED = "cannot be posed"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a suite.

    Attributes:
        engine: `rego` or `cel`.
        group: Folder or file of the suite.
        name: Name inside the group.
        question: Document for the core, without `checks`.
        expected: Expected value in the engine's own form; None where an error is expected.
        skip: Why the case cannot be posed here; empty where it can.
    """

    engine: str
    group: str
    name: str
    question: dict[str, Any]
    expected: Any = None
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a case came out.

    Attributes:
        case: The case.
        loaded: As a policy's source is loaded.
        below: On the engine without the checks.
        detail: What came instead, where `loaded` is wrong or crashed.
    """

    case: Case
    loaded: Class
    below: Class
    detail: str = ""
