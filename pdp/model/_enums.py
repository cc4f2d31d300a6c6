"""The contract's enums as texts, and their numbers on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pdp._proto import decision_pb2 as pb


class Question(StrEnum):
    """What is asked."""

    ACCESS = "access"
    SEGMENTATION = "segmentation"
    EGRESS = "egress"
    RATE_LIMIT = "rate_limit"


class Effect(StrEnum):
    """The answer; there is no third value."""

    ALLOW = "ALLOW"
    DENY = "DENY"


class Tier(StrEnum):
    """Who wrote a policy; a lower tier cannot widen a higher one."""

    GUARDRAIL = "guardrail"
    ORGANISATION = "organisation"
    TEAM = "team"


class DestinationKind(StrEnum):
    """Kind of destination."""

    UNSPECIFIED = "unspecified"
    FUNCTION = "function"
    SERVICE = "service"
    EXTERNAL = "external"


class ReasonCode(StrEnum):
    """Why an effect was given; the contract's `ReasonCode` documents each.

    `UNSPECIFIED` stands for a code that this release does not know: go by the effect.
    """

    UNSPECIFIED = "UNSPECIFIED"
    POLICY_ALLOW = "POLICY_ALLOW"
    POLICY_DENY = "POLICY_DENY"
    DEFAULT_DENY = "DEFAULT_DENY"
    NOT_ALLOWED = "NOT_ALLOWED"
    POLICY_ERROR = "POLICY_ERROR"
    POLICY_OUTPUT_INVALID = "POLICY_OUTPUT_INVALID"
    POLICY_TIMEOUT = "POLICY_TIMEOUT"
    POLICY_INSTRUCTION_LIMIT = "POLICY_INSTRUCTION_LIMIT"
    POLICY_MEMORY_LIMIT = "POLICY_MEMORY_LIMIT"
    FAIL_OPEN = "FAIL_OPEN"
    FACT_MISSING = "FACT_MISSING"
    FACT_TOO_OLD = "FACT_TOO_OLD"
    RATE_LIMITED = "RATE_LIMITED"
    WITHIN_LIMIT = "WITHIN_LIMIT"
    DATA_BLOCKED = "DATA_BLOCKED"
    DATA_MASKED = "DATA_MASKED"
    PAYLOAD_NOT_SCANNED = "PAYLOAD_NOT_SCANNED"
    NOT_EVALUATED = "NOT_EVALUATED"
    REQUIRED_POLICY_NOT_APPLIED = "REQUIRED_POLICY_NOT_APPLIED"
    LIMIT_KEY_MISSING = "LIMIT_KEY_MISSING"
    LIMIT_NOT_COUNTED = "LIMIT_NOT_COUNTED"
    LIMIT_COST_INVALID = "LIMIT_COST_INVALID"
    LIMIT_STORE_UNAVAILABLE = "LIMIT_STORE_UNAVAILABLE"
    LIMIT_COUNTED_LOCALLY = "LIMIT_COUNTED_LOCALLY"
    FACT_UNAVAILABLE = "FACT_UNAVAILABLE"


class CountedBy(StrEnum):
    """Where a limit was counted.

    `UNSPECIFIED` stands for one that was not counted, or in a way that this release does not know.
    """

    UNSPECIFIED = "unspecified"
    MEMORY = "memory"
    SHARED = "shared"
    LEASE = "lease"
    LOCAL = "local"


# Texts to numbers, for requests. Plain texts equal to a member find it too.
QUESTION_NUMBERS: dict[str, Any] = {one: pb.Question.Value(f"QUESTION_{one.name}") for one in Question}
DESTINATION_KIND_NUMBERS: dict[str, Any] = {
    one: pb.DestinationKind.Value(f"DESTINATION_KIND_{one.name}") for one in DestinationKind
}

# Numbers to texts, for answers.
QUESTIONS: dict[int, Question] = {number: Question(text) for text, number in QUESTION_NUMBERS.items()}
DESTINATION_KINDS: dict[int, DestinationKind] = {
    number: DestinationKind(text) for text, number in DESTINATION_KIND_NUMBERS.items()
}
REASON_CODES: dict[int, ReasonCode] = {
    number: ReasonCode[name.removeprefix("REASON_CODE_")]
    for name, number in pb.ReasonCode.items()
    if name.removeprefix("REASON_CODE_") in ReasonCode.__members__
}
COUNTED_BY: dict[int, CountedBy] = {pb.CountedBy.Value(f"COUNTED_BY_{one.name}"): one for one in CountedBy}
TIERS: dict[int, Tier] = {pb.Tier.Value(f"TIER_{one.name}"): one for one in Tier}
