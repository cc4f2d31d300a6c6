"""The answer: frozen values read from the contract's messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from pdp._proto import decision_pb2 as pb
from pdp.errors import AccessDenied, ErrorReason, from_reason
from pdp.model._enums import QUESTIONS, REASON_CODES, TIERS, Effect, Question, ReasonCode, Tier
from pdp.model._struct import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
    """

    policy_id: str
    name: str
    limit: int
    remaining: int
    reset_after: timedelta
    retry_after: timedelta | None
    admitted: bool


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
    """A fact group that the request supplied.

    Attributes:
        name: `device`, `location`, `behaviour`.
        age: Age at the time of the decision.
    """

    name: str
    age: timedelta


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


_T = TypeVar("_T")


class _Part(Generic[_T]):
    """A part of a decision, read from its message when it is first asked for.

    Most callers look at the effect and go on: reading everything would cost them more
    than the decision itself.
    """

    def __init__(self, read: Callable[[pb.Decision], _T], absent: _T) -> None:
        self.read = read
        self.absent = absent
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, decision: None, owner: type) -> Self: ...

    @overload
    def __get__(self, decision: Decision, owner: type) -> _T: ...

    def __get__(self, decision: Decision | None, owner: type) -> Self | _T:
        if decision is None:
            return self
        # From now on the value itself is found before this descriptor.
        value = decision.__dict__[self.name] = self.read(decision.__dict__["_message"])
        return value


class Decision:
    """One effect, and everything that explains it; immutable.

    A decision has no truth value: `if client.check(...)` would read a DENY as true.
    Ask `decision.allowed`, or call `authorize`, which raises.

    Attributes:
        effect: ALLOW only if every question's effect is ALLOW.
        request_id: The request's id, or one the server made.
        decision_id: UUIDv7.
        policy_revision: Revision of the policy set that decided.
        verdicts: One per question, in the order of evaluation.
        obligations: What the enforcement point must do.
        limits: State of each limit that was read or spent.
        findings: What the scanner found.
        masked_payload: The payload to send instead; None where no masking is obliged.
        facts: Facts supplied, with ages.
        cacheable_for: How long an equal request may reuse this answer; None means not at all.
        shadow: What shadow policies would have said.
        memoised: Whether policies' results came from the memo.
    """

    effect: Effect
    request_id: str
    decision_id = _Part(lambda message: message.decision_id, "")
    policy_revision = _Part(lambda message: message.policy_revision, "")
    verdicts = _Part[tuple[Verdict, ...]](
        lambda message: tuple([_verdict(one) for one in message.verdicts]), ()
    )
    obligations = _Part[tuple[Obligation, ...]](
        lambda message: tuple([_obligation(one) for one in message.obligations]), ()
    )
    limits = _Part[tuple[LimitStatus, ...]](
        lambda message: tuple([_limit(one) for one in message.limits]), ()
    )
    findings = _Part[tuple[Finding, ...]](
        lambda message: tuple([_finding(one) for one in message.findings]), ()
    )
    masked_payload = _Part[bytes | None](
        lambda message: message.masked_payload if message.HasField("masked_payload") else None, None
    )
    facts = _Part[tuple[FactUse, ...]](
        lambda message: tuple([FactUse(one.name, _span(one.age)) for one in message.facts]), ()
    )
    cacheable_for = _Part[timedelta | None](
        lambda message: _span(message.cacheable_for) if message.HasField("cacheable_for") else None, None
    )
    shadow = _Part[tuple[ShadowResult, ...]](
        lambda message: tuple([_shadow(one) for one in message.shadow]), ()
    )
    memoised = _Part(lambda message: message.memoised, False)

    def __init__(
        self,
        *,
        effect: Effect,
        request_id: str = "",
        verdicts: tuple[Verdict, ...] = (),
        obligations: tuple[Obligation, ...] = (),
        masked_payload: bytes | None = None,
        **others: Any,
    ) -> None:
        """Makes a decision from parts, for tests of callers; `others` are the remaining attributes."""
        given = {"verdicts": verdicts, "obligations": obligations, "masked_payload": masked_payload, **others}
        unknown = given.keys() - set(_PARTS)
        if unknown:
            raise TypeError(f"a decision has no `{min(unknown)}`")
        values = {name: getattr(type(self), name).absent for name in _PARTS}
        self.__dict__.update(values, effect=effect, request_id=request_id, **given)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuses: what was decided stays."""
        raise AttributeError(f"a decision cannot be changed: `{name}`")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuses: what was decided stays."""
        raise AttributeError(f"a decision cannot be changed: `{name}`")

    def __eq__(self, other: object) -> bool:
        """Whether all attributes are equal."""
        if not isinstance(other, Decision):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _ATTRIBUTES)

    def __hash__(self) -> int:
        """By what names the decision."""
        return hash((self.effect, self.request_id, self.decision_id))

    def __repr__(self) -> str:
        """All attributes."""
        return f"Decision({', '.join(f'{name}={getattr(self, name)!r}' for name in _ATTRIBUTES)})"

    def __bool__(self) -> NoReturn:
        """Refuses: a decision is neither true nor false."""
        raise TypeError(
            "a decision has no truth value; use `decision.allowed`, or `authorize()` which raises"
        )

    @property
    def allowed(self) -> bool:
        """Whether the effect is ALLOW."""
        return self.effect is Effect.ALLOW

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All verdicts' reasons, in order of evaluation."""
        return tuple(reason for verdict in self.verdicts for reason in verdict.reasons)

    @property
    def policy_ids(self) -> tuple[str, ...]:
        """Policies that gave a reason, each once."""
        return tuple(dict.fromkeys(one.policy_id for one in self.reasons if one.policy_id))

    @property
    def explanation(self) -> str:
        """The verdicts that decided, in one line."""
        decisive = [one for one in self.verdicts if one.evaluated and one.effect is self.effect]
        return "; ".join(f"{one.question}: {_line(one.reasons)}" for one in decisive) or str(self.effect)

    def require_allowed(self) -> Decision:
        """The decision itself.

        Raises:
            AccessDenied: When the effect is not ALLOW.
        """
        if self.effect is not Effect.ALLOW:
            raise AccessDenied(self)
        return self

    def to_mapping(self) -> dict[str, Any]:
        """The decision as a JSON document; times in seconds, the masked payload as text where it is text."""
        pairs = ((name, getattr(self, name)) for name in _ATTRIBUTES)
        return {"allowed": self.allowed, **_mapping(pairs)}

    @classmethod
    def from_proto(cls, message: pb.Decision, request_id: str = "") -> Decision:
        """Reads a decision; an effect this release does not know is DENY."""
        decision = cls.__new__(cls)
        values = decision.__dict__
        values["effect"] = Effect.ALLOW if message.effect == _ALLOW else Effect.DENY
        values["request_id"] = request_id
        values["_message"] = message
        return decision


_PARTS = tuple(name for name, value in vars(Decision).items() if isinstance(value, _Part))
_ATTRIBUTES = ("effect", "request_id", *_PARTS)


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """Why an item of a batch or stream got no decision.

    Attributes:
        reason: Stable reason.
        field: Path of the field at fault.
        message: One sentence for a person.
    """

    reason: ErrorReason
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one item: a decision, or why there is none.

    Attributes:
        request_id: The item's id, or one the server made.
        decision: The decision, or None.
        failure: Why there is none, or None.
    """

    request_id: str
    decision: Decision | None = None
    failure: CheckFailure | None = None

    def unwrap(self) -> Decision:
        """The decision.

        Raises:
            RequestError: The item's own error, when it got no decision.
        """
        if self.decision is not None:
            return self.decision
        failure = self.failure or CheckFailure(ErrorReason.INTERNAL, "", "the result is empty")
        raise from_reason(failure.reason, failure.field, failure.message)

    @classmethod
    def from_proto(cls, message: pb.CheckResult) -> CheckResult:
        """Reads an item's outcome; one without either part is a failure, never an ALLOW."""
        if message.HasField("decision"):
            return cls(message.request_id, Decision.from_proto(message.decision, message.request_id))
        error = message.error
        name = "INTERNAL" if not error.reason else _error_name(error.reason)
        fault = from_reason(name, error.field, error.message or "the result is empty")
        return cls(message.request_id, failure=CheckFailure(fault.reason, fault.field, fault.message))


def _error_name(number: int) -> str:
    """Name of an error reason; UNSPECIFIED where this release does not know it."""
    value = pb.ErrorReason.DESCRIPTOR.values_by_number.get(number)
    return "UNSPECIFIED" if value is None else value.name.removeprefix("ERROR_REASON_")


def _effect(number: int) -> Effect:
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


def _verdict(message: pb.Verdict) -> Verdict:
    return Verdict(
        QUESTIONS[message.question], _effect(message.effect), _reasons(message.reasons), message.evaluated
    )


def _obligation(message: pb.Obligation) -> Obligation:
    return Obligation(message.type, message.policy_id, plain(message.parameters))


def _limit(message: pb.LimitStatus) -> LimitStatus:
    return LimitStatus(
        message.policy_id,
        message.name,
        message.limit,
        message.remaining,
        _span(message.reset_after),
        _span(message.retry_after) if message.HasField("retry_after") else None,
        message.admitted,
    )


def _finding(message: pb.Finding) -> Finding:
    return Finding(
        message.detector,
        message.category,
        message.start,
        message.end,
        message.confidence,
        message.action,
        message.policy_id,
    )


def _shadow(message: pb.ShadowResult) -> ShadowResult:
    return ShadowResult(
        message.policy_id,
        QUESTIONS[message.question],
        _effect(message.effect),
        message.would_change,
        _reasons(message.reasons),
    )


def _span(message: Duration) -> timedelta:
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1_000)


def _line(reasons: tuple[Reason, ...]) -> str:
    """The first reason in one line."""
    if not reasons:
        return "no reason"
    first = reasons[0]
    code = first.detail_code or str(first.code)
    policy = f"({first.policy_id})" if first.policy_id else ""
    return " ".join(part for part in (code, policy, first.message) if part)


def _mapping(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON-ready mapping, without what is empty."""
    return {name: _document(one) for name, one in pairs if one is not None and one not in ((), "")}


def _document(value: Any) -> Any:
    """A frozen value as JSON-ready values."""
    if is_dataclass(value) and not isinstance(value, type):
        return _mapping((one.name, getattr(value, one.name)) for one in fields(value))
    match value:
        case tuple():
            return [_document(one) for one in value]
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.decode("utf-8", "replace")
        case Enum():
            return value.value
        case _:
            return value
