"""Keeps what decision points share: stored facts."""

from __future__ import annotations

from pdp.control._admin import AdminFacts
from pdp.control._redis import RedisFacts
from pdp.model import Fact, FactChange, FactKind, FactName, FactPut, Facts, puts_from_document

__all__ = [
    "AdminFacts",
    "Fact",
    "FactChange",
    "FactKind",
    "FactName",
    "FactPut",
    "Facts",
    "RedisFacts",
    "puts_from_document",
]
