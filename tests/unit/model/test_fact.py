"""Documents that people write, as facts to store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pdp.errors import DocumentError
from pdp.model import Fact, FactKind, FactName, FactPut, puts_from_document

NAME = FactName(FactKind.DEVICE, "laptop", "shop")


def test_what_a_fact_says_of_itself_can_be_stored_again() -> None:
    """`get` writes what `put` reads."""
    fact = Fact(NAME, {"managed": True}, 7, "mdm", datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC))
    (put,) = puts_from_document(fact.to_mapping())
    assert put == FactPut(NAME, fact.value, "mdm", 7, fact.observed_at)


def test_a_list_is_several_documents_and_the_source_is_the_default() -> None:
    """Only the default source fills in."""
    entries: list[dict[str, Any]] = [
        {"kind": "device", "id": "a", "value": {}},
        {"kind": "subject", "id": "b", "value": {}, "source": "hr"},
    ]
    puts = puts_from_document(entries, source="mdm")
    assert [(one.name.id, one.source, one.version) for one in puts] == [("a", "mdm", None), ("b", "hr", None)]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": "laptop"}, "[0].kind"),
        ({"kind": None}, "[0].kind"),
        ({"id": 7}, "[0].id"),
        ({"tenant": 7}, "[0].tenant"),
        ({"value": [1]}, "[0].value"),
        ({"value": {1: 2}}, "[0].value"),
        ({"version": "7"}, "[0].version"),
        ({"version": True}, "[0].version"),
        ({"source": 1}, "[0].source"),
        ({"observed_at": "yesterday"}, "[0].observed_at"),
        ({"observed_at": "2026-01-31T12:00:00"}, "[0].observed_at"),
        ({"observed_at": 7}, "[0].observed_at"),
        ({"extra": 1}, "[0].extra"),
    ],
)
def test_what_is_no_document_is_refused_by_path(change: dict[str, Any], path: str) -> None:
    """The path leads to the value at fault."""
    entry = {"kind": "device", "id": "laptop", "value": {}, **change}
    with pytest.raises(DocumentError) as caught:
        puts_from_document([entry])
    assert caught.value.path == path


@pytest.mark.parametrize("content", [None, 7, "text", [[]]])
def test_what_is_no_mapping_is_refused(content: Any) -> None:
    """Neither alone nor in a list."""
    with pytest.raises(DocumentError):
        puts_from_document(content)
