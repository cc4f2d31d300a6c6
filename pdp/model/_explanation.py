"""What explains a decision: frozen values read from the contract's messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pdp._proto import decision_pb2 as pb
from pdp.model._enums import (
    COUNTED_BY,
    QUESTIONS,
    REASON_CODES,
    TIERS,
    CountedBy,
    Effect,
    Question,
    ReasonCode,
    Tier,
)
from pdp.model._struct import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.duration_pb2 import Duration

_ALLOW = pb.EFFECT_ALLOW


@dataclass(frozen=True, slots=True)
class Reason:
    """Why.

    Attributes:
        code: Stable code.
        policy_id: Id of the policy; empty where no policy gave the reason.
        detail_code: Code of the policy's own, such as `device_not_compliant`.
        message: One sentence for a person; never payload data.
        tier: Tier of the policy; None where no policy gave the reason.
    """

    code: ReasonCode
    policy_id: str = ""
    detail_code: str = ""
    message: str = ""
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question.

    Attributes:
        question: The question.
        effect: Its effect.
        reasons: Why, most important first.
        evaluated: False where an earlier stage denied.
    """

    question: Question
    effect: Effect
    reasons: tuple[Reason, ...] = ()
    evaluated: bool = True


@dataclass(frozen=True, slots=True)
class Obligation:
    """What the enforcement point must do.

    Attributes:
        type: Kind, such as `mask` or `require_encryption`.
        policy_id: Policy that obliges.
        parameters: Parameters, by kind.
    """

    type: str
    policy_id: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """State of one limit after the request.

    Attributes:
        policy_id: Policy that owns the limit.
        name: Name inside its policy.
        limit: Hits admitted within the window.
        remaining: Hits left now.
        reset_after: Time until the limit is full again.
        retry_after: Time until the same spend would be admitted; None where it was.
        admitted: Whether this limit admitted the request.
        counted_by: Where it was counted.
        overshoot: Hits above the limit that all nodes together may admit within a window, at most.
    """

    policy_id: str
    name: str
    limit: int
    remaining: int
    reset_after: timedelta
    retry_after: timedelta | None
    admitted: bool
    counted_by: CountedBy = CountedBy.UNSPECIFIED
    overshoot: int = 0

    @classmethod
    def from_proto(cls, message: pb.LimitStatus) -> LimitStatus:
        """Reads a status."""
        return cls(
            message.policy_id,
            message.name,
            message.limit,
            message.remaining,
            span(message.reset_after),
            span(message.retry_after) if message.HasField("retry_after") else None,
            message.admitted,
            COUNTED_BY.get(message.counted_by, CountedBy.UNSPECIFIED),
            message.overshoot,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """A piece of sensitive data in the payload.

    Attributes:
        detector: Such as `card_number`.
        category: `financial`, `personal`, `credential`, `health`.
        start: First byte of the span.
        end: First byte after the span.
        confidence: 0 to 1.
        action: `none`, `mask` or `block`.
        policy_id: Policy that chose the action.
    """

    detector: str
    category: str
    start: int
    end: int
    confidence: float
    action: str
    policy_id: str


@dataclass(frozen=True, slots=True)
class FactUse:
    """A fact group that the request supplied, or a stored fact that was read for it.

    Attributes:
        name: `device`, `location`, `behaviour`; `facts.device` and its like for stored facts.
        age: Age at the time of the decision.
        version: Version of a stored fact; 0 for another.
        source: Who says so, of a stored fact.
    """

    name: str
    age: timedelta
    version: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True)
class ShadowResult:
    """What a shadow policy would have said; it never changes the effect.

    Attributes:
        policy_id: The policy.
        question: The question.
        effect: What it would have answered.
        would_change: Whether enforcing it would have changed the question's effect.
        reasons: Why.
    """

    policy_id: str
    question: Question
    effect: Effect
    would_change: bool
    reasons: tuple[Reason, ...]


def effect(number: int) -> Effect:
    """An effect; one this release does not know is DENY."""
    return Effect.ALLOW if number == _ALLOW else Effect.DENY


def _reasons(messages: Iterable[pb.Reason]) -> tuple[Reason, ...]:
    return tuple(
        [
            Reason(
                REASON_CODES.get(one.code, ReasonCode.UNSPECIFIED),
                one.policy_id,
                one.detail_code,
                one.message,
                TIERS.get(one.tier),
            )
            for one in messages
        ]
    )


def verdict(message: pb.Verdict) -> Verdict:
    """Reads a verdict."""
    return Verdict(
        QUESTIONS[message.question], effect(message.effect), _reasons(message.reasons), message.evaluated
    )


def obligation(message: pb.Obligation) -> Obligation:
    """Reads an obligation."""
    return Obligation(message.type, message.policy_id, plain(message.parameters))


def fact(message: pb.FactUse) -> FactUse:
    """Reads the use of a fact."""
    return FactUse(message.name, span(message.age), message.version, message.source)


def finding(message: pb.Finding) -> Finding:
    """Reads a finding."""
    return Finding(
        message.detector,
        message.category,
        message.start,
        message.end,
        message.confidence,
        message.action,
        message.policy_id,
    )


def shadow(message: pb.ShadowResult) -> ShadowResult:
    """Reads what a shadow policy would have said."""
    return ShadowResult(
        message.policy_id,
        QUESTIONS[message.question],
        effect(message.effect),
        message.would_change,
        _reasons(message.reasons),
    )


def span(message: Duration) -> timedelta:
    """Reads a duration, to the microsecond."""
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1_000)
