"""Decisions are read faithfully, and cannot be mistaken for booleans."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from pdp._proto import decision_pb2 as pb
from pdp.errors import AccessDenied, ErrorReason, InvalidRequestError, ServerError
from pdp.model import (
    CheckResult,
    CountedBy,
    Decision,
    Effect,
    FactUse,
    Question,
    Reason,
    ReasonCode,
    Tier,
    Verdict,
)


def full_message() -> pb.Decision:
    """A decision with every field set."""
    reason = pb.Reason(code=1, policy_id="p", detail_code="d", message="m", tier=3)
    return pb.Decision(
        effect=pb.EFFECT_ALLOW,
        decision_id="id",
        policy_revision="rev",
        verdicts=[pb.Verdict(question=1, effect=1, reasons=[reason], evaluated=True)],
        obligations=[pb.Obligation(type="mask", policy_id="p", parameters={"detectors": ["x"], "n": 2})],
        limits=[
            pb.LimitStatus(
                policy_id="p",
                name="n",
                limit=10,
                remaining=3,
                reset_after=Duration(seconds=1, nanos=500_000_000),
                admitted=True,
                counted_by=pb.COUNTED_BY_LEASE,
                overshoot=4,
            )
        ],
        findings=[pb.Finding(detector="card_number", category="financial", start=1, end=5, confidence=0.5)],
        masked_payload=b"x",
        facts=[pb.FactUse(name="facts.device", age=Duration(seconds=2), version=7, source="mdm")],
        cacheable_for=Duration(seconds=30),
        shadow=[pb.ShadowResult(policy_id="s", question=1, effect=2, would_change=True, reasons=[reason])],
        memoised=True,
        usage_token=b"\xff\x00",
    )


def test_every_field_is_read() -> None:
    """No field of the message is dropped."""
    decision = Decision.from_proto(full_message(), "r")
    reason = Reason(ReasonCode.POLICY_ALLOW, "p", "d", "m", Tier.TEAM)
    assert decision.allowed
    assert decision.verdicts == (Verdict(Question.ACCESS, Effect.ALLOW, (reason,)),)
    assert decision.obligations[0].parameters == {"detectors": ["x"], "n": 2}
    assert decision.limits[0].reset_after == timedelta(seconds=1.5)
    assert decision.limits[0].retry_after is None
    assert (decision.findings[0].start, decision.findings[0].end) == (1, 5)
    assert decision.masked_payload == b"x"
    assert (decision.limits[0].counted_by, decision.limits[0].overshoot) == (CountedBy.LEASE, 4)
    assert decision.facts == (FactUse("facts.device", timedelta(seconds=2), 7, "mdm"),)
    assert decision.usage_token == b"\xff\x00"
    assert decision.to_mapping()["usage_token"] == "/wA="
    assert decision.cacheable_for == timedelta(seconds=30)
    assert decision.shadow[0].effect is Effect.DENY
    assert decision.memoised
    assert set(json.loads(json.dumps(decision.to_mapping()))) >= {
        one.name for one in pb.Decision.DESCRIPTOR.fields
    }


def test_report_names_what_was_spent() -> None:
    """Hits that are not given are not sent: the estimate stays."""
    decision = Decision.from_proto(full_message(), "r")
    assert decision.to_report() == pb.ReportUsageRequest(usage_token=b"\xff\x00")
    assert decision.to_report(0) == pb.ReportUsageRequest(usage_token=b"\xff\x00", hits=0)


def test_report_that_says_nothing_is_refused() -> None:
    """No token, or no number of hits: the field at fault is named."""
    with pytest.raises(InvalidRequestError) as caught:
        Decision.from_proto(pb.Decision()).to_report(1)
    assert (caught.value.reason, caught.value.field) == (ErrorReason.FIELD_REQUIRED, "usage_token")
    for hits in (-1, 2**64):
        with pytest.raises(InvalidRequestError) as caught:
            Decision.from_proto(full_message(), "r").to_report(hits)
        assert (caught.value.reason, caught.value.field) == (ErrorReason.FIELD_OUT_OF_RANGE, "hits")


def test_unknown_way_of_counting_is_unspecified() -> None:
    """A newer server's word does not break an older caller."""
    message = pb.Decision(limits=[pb.LimitStatus(name="n")])
    message.limits[0].counted_by = 900  # type: ignore[assignment]
    assert Decision.from_proto(message).limits[0].counted_by is CountedBy.UNSPECIFIED


@given(st.integers(-(2**31), 2**31 - 1).filter(lambda number: number != pb.EFFECT_ALLOW))
def test_only_allow_is_allow(number: int) -> None:
    """An effect that is absent or unknown is DENY."""
    message = pb.Decision()
    message.effect = number  # type: ignore[assignment]
    assert not Decision.from_proto(message).allowed


def test_unknown_reason_code_is_read_by_the_effect() -> None:
    """A newer server's reason does not break an older caller."""
    message = pb.Decision(effect=2, verdicts=[pb.Verdict(question=1, effect=2, reasons=[pb.Reason()])])
    message.verdicts[0].reasons[0].code = 900  # type: ignore[assignment]
    assert Decision.from_proto(message).reasons[0].code is ReasonCode.UNSPECIFIED


@pytest.mark.parametrize("effect", Effect)
def test_decision_has_no_truth_value(effect: Effect) -> None:
    """`if client.check(...)` fails at its first run instead of letting everybody in."""
    with pytest.raises(TypeError, match=r"decision\.allowed"):
        bool(Decision(effect=effect))


def test_required_allow_raises_on_deny_and_explains() -> None:
    """The exception holds the decision and says its reason."""
    reason = Reason(ReasonCode.POLICY_DENY, "shop.access", "device_lost", "the device is lost")
    denied = Decision(effect=Effect.DENY, verdicts=(Verdict(Question.ACCESS, Effect.DENY, (reason,)),))
    with pytest.raises(AccessDenied, match="device_lost") as caught:
        denied.require_allowed()
    assert caught.value.decision is denied


def test_result_without_decision_raises_its_error() -> None:
    """An item's failure is the error it would have been as a single call."""
    error = pb.ErrorDetail(reason=1, field="items[0].subject", message="is missing")
    with pytest.raises(InvalidRequestError, match="is missing") as caught:
        CheckResult.from_proto(pb.CheckResult(request_id="a", error=error)).unwrap()
    assert caught.value.reason is ErrorReason.FIELD_REQUIRED


def test_empty_result_is_an_error() -> None:
    """Neither decision nor error is no ALLOW."""
    with pytest.raises(ServerError):
        CheckResult.from_proto(pb.CheckResult(request_id="a")).unwrap()
