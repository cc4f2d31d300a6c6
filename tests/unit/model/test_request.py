"""Requests encode themselves without loss, and refuse what does not fit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from strategies import REQUESTS

from pdp._proto import decision_pb2 as pb
from pdp.errors import ErrorReason, InvalidRequestError
from pdp.model import (
    Behaviour,
    CheckRequest,
    Destination,
    Device,
    LimitSpend,
    Question,
    Resource,
    Subject,
)


@given(REQUESTS)
def test_request_survives_the_wire(request: CheckRequest) -> None:
    """What is decoded from the encoded bytes is what was encoded."""
    encoded = request.to_proto().SerializeToString()
    assert CheckRequest.from_proto(pb.CheckRequest.FromString(encoded)) == request


def test_absent_and_empty_parts_differ() -> None:
    """A device without facts is present; no device is absent."""
    assert CheckRequest(questions=(), device=Device()).to_proto().HasField("device")
    assert not CheckRequest(questions=()).to_proto().HasField("device")


def test_unset_facts_are_not_sent_as_false() -> None:
    """Unknown is neither true nor false."""
    message = CheckRequest(questions=(), device=Device(managed=False)).to_proto()
    assert message.device.HasField("managed")
    assert not message.device.HasField("compliant")


def nested(depth: int) -> dict[str, Any]:
    """A mapping of mappings, `depth` deep."""
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"a": document}
    return document


@pytest.mark.parametrize(
    ("parts", "field", "reason"),
    [
        ({"questions": ("everything",)}, "questions", ErrorReason.ENUM_UNKNOWN),
        ({"subject": Subject(5)}, "subject", ErrorReason.FIELD_MALFORMED),
        ({"subject": {"id": "not a Subject"}}, "subject", ErrorReason.FIELD_MALFORMED),
        ({"limit": LimitSpend(-1)}, "limit", ErrorReason.FIELD_MALFORMED),
        ({"limit": LimitSpend(2**64)}, "limit", ErrorReason.FIELD_MALFORMED),
        ({"destination": Destination("d", "cloud")}, "destination", ErrorReason.ENUM_UNKNOWN),
        ({"destination": Destination("d", port=-1)}, "destination", ErrorReason.FIELD_MALFORMED),
        ({"device": Device(observed_at=datetime(2026, 1, 1))}, "device", ErrorReason.FIELD_MALFORMED),  # noqa: DTZ001
        ({"behaviour": Behaviour(signals=(1,))}, "behaviour", ErrorReason.FIELD_MALFORMED),
        ({"resource": Resource("r", labels={"a": 1})}, "resource", ErrorReason.FIELD_MALFORMED),
        ({"context": {"a": object()}}, "context", ErrorReason.FIELD_MALFORMED),
        ({"context": nested(100_000)}, "context", ErrorReason.TOO_DEEP),
        ({"action": "\ud800"}, "action", ErrorReason.FIELD_MALFORMED),
    ],
)
def test_value_that_does_not_fit_is_refused_by_field(
    parts: dict[str, Any], field: str, reason: ErrorReason
) -> None:
    """The error names the part at fault; nothing is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        CheckRequest(**{"questions": (Question.ACCESS,), **parts}).to_proto()
    assert (caught.value.field, caught.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("request_id", "questions", "repeatable"),
    [
        ("", (Question.ACCESS, Question.EGRESS), True),
        ("", (Question.ACCESS, Question.RATE_LIMIT), False),
        ("r-1", (Question.RATE_LIMIT,), True),
    ],
)
def test_only_a_named_spend_may_be_repeated(
    request_id: str, questions: tuple[Question, ...], *, repeatable: bool
) -> None:
    """Without an id, a second attempt could spend a counter twice."""
    assert CheckRequest(questions=questions, request_id=request_id).is_repeatable is repeatable
