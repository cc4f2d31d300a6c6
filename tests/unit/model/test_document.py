"""Documents become requests, or are refused at their place."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.errors import DocumentError
from pdp.model import CheckRequest, DestinationKind, Question, request_from_mapping


def test_document_with_every_spelling() -> None:
    """Names are the contract's; enums may be short or the contract's; bytes text or base64."""
    request = request_from_mapping(
        {
            "questions": ["rate-limit", "QUESTION_EGRESS"],
            "destination": {"id": "d", "kind": "external", "labels": {"a": "b"}},
            "payload": {"content_base64": "AAE="},
            "device": {"observed_at": "2026-01-31T12:00:00+01:00", "managed": True},
            "behaviour": {"score": 1},
            "context": {"list": [1, None, {"x": 2.5}], "day": date(2026, 1, 1)},
        }
    )
    assert request.questions == (Question.RATE_LIMIT, Question.EGRESS)
    assert request.destination is not None
    assert request.destination.kind is DestinationKind.EXTERNAL
    assert request.payload is not None
    assert request.payload.content == b"\x00\x01"
    assert request.device is not None
    assert request.device.observed_at == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert request.context == {"list": [1, None, {"x": 2.5}], "day": "2026-01-01"}


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ([], "", "must be a mapping, not a list"),
        ({}, "questions", "required but missing"),
        ({"questions": "access"}, "questions", "must be a list, not a text"),
        ({"questions": ["acess"]}, "questions[0]", "`acess` is not a question"),
        ({"questions": [], "subjekt": {}}, "subjekt", "unknown key"),
        ({"questions": [], "subject": {}}, "subject.id", "required but missing"),
        ({"questions": [], "subject": {"id": 5}}, "subject.id", "must be a text, not a number; quote it"),
        ({"questions": [], "subject": {"id": "a", "roles": ["x", 1]}}, "subject.roles[1]", "must be a text"),
        (
            {"questions": [], "resource": {"id": "r", "labels": {"a": 1}}},
            "resource.labels.a",
            "must be a text",
        ),
        ({"questions": [], "device": {"managed": "yes"}}, "device.managed", "must be true or false"),
        ({"questions": [], "device": {"observed_at": "now"}}, "device.observed_at", "is not a time"),
        (
            {"questions": [], "device": {"observed_at": "2026-01-01T00:00:00"}},
            "device.observed_at",
            "has no zone",
        ),
        ({"questions": [], "limit": {"hits": True}}, "limit.hits", "must be a whole number, not a boolean"),
        ({"questions": [], "behaviour": {"score": "high"}}, "behaviour.score", "must be a number"),
        ({"questions": [], "payload": {"content": "a", "content_base64": "YQ=="}}, "payload", "keep one"),
        ({"questions": [], "payload": {"content_base64": "%"}}, "payload.content_base64", "is not base64"),
        (
            {"questions": [], "destination": {"id": "d", "kind": "moon"}},
            "destination.kind",
            "`moon` is not a kind",
        ),
    ],
)
def test_fault_names_its_place(document: Any, path: str, words: str) -> None:
    """The path leads to the value at fault."""
    with pytest.raises(DocumentError) as caught:
        request_from_mapping(document)
    assert caught.value.path == path
    assert words in caught.value.message


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["questions", "subject", "device", "payload", "limit", "context", "action"])


@given(st.dictionaries(NAMES, JSON) | JSON)
def test_any_document_is_a_request_or_a_document_error(document: Any) -> None:
    """Nothing else can come out."""
    with contextlib.suppress(DocumentError):
        assert isinstance(request_from_mapping(document), CheckRequest)
