"""The enums are the contract's."""

from __future__ import annotations

import pytest

from pdp._proto import decision_pb2 as pb
from pdp.model import CountedBy, DestinationKind, Effect, Question, ReasonCode, Tier


@pytest.mark.parametrize(
    ("ours", "contract", "prefix", "skipped"),
    [
        (Question, pb.Question, "QUESTION_", {"QUESTION_UNSPECIFIED"}),
        (Effect, pb.Effect, "EFFECT_", {"EFFECT_UNSPECIFIED"}),
        (ReasonCode, pb.ReasonCode, "REASON_CODE_", set()),
        (DestinationKind, pb.DestinationKind, "DESTINATION_KIND_", set()),
        (CountedBy, pb.CountedBy, "COUNTED_BY_", set()),
        (Tier, pb.Tier, "TIER_", {"TIER_UNSPECIFIED"}),
    ],
)
def test_members_are_the_contract_s(ours: type, contract: object, prefix: str, skipped: set[str]) -> None:
    """No member is missing and none is left over."""
    assert {f"{prefix}{one.name}" for one in ours} == set(contract.keys()) - skipped
