"""The answer: frozen values read from the contract's messages."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from pdp._proto import decision_pb2 as pb
from pdp.errors import AccessDenied, ErrorReason, from_reason
from pdp.model._enums import Effect
from pdp.model._explanation import (
    FactUse,
    Finding,
    LimitStatus,
    Obligation,
    Reason,
    ShadowResult,
    Verdict,
    fact,
    finding,
    obligation,
    shadow,
    span,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ALLOW = pb.EFFECT_ALLOW


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
        usage_token: Names what was spent, for `report_usage`; empty where there is nothing to report.
    """

    effect: Effect
    request_id: str
    decision_id = _Part(lambda message: message.decision_id, "")
    policy_revision = _Part(lambda message: message.policy_revision, "")
    verdicts = _Part[tuple[Verdict, ...]](
        lambda message: tuple([verdict(one) for one in message.verdicts]), ()
    )
    obligations = _Part[tuple[Obligation, ...]](
        lambda message: tuple([obligation(one) for one in message.obligations]), ()
    )
    limits = _Part[tuple[LimitStatus, ...]](
        lambda message: tuple([LimitStatus.from_proto(one) for one in message.limits]), ()
    )
    findings = _Part[tuple[Finding, ...]](
        lambda message: tuple([finding(one) for one in message.findings]), ()
    )
    masked_payload = _Part[bytes | None](
        lambda message: message.masked_payload if message.HasField("masked_payload") else None, None
    )
    facts = _Part[tuple[FactUse, ...]](lambda message: tuple([fact(one) for one in message.facts]), ())
    cacheable_for = _Part[timedelta | None](
        lambda message: span(message.cacheable_for) if message.HasField("cacheable_for") else None, None
    )
    shadow = _Part[tuple[ShadowResult, ...]](
        lambda message: tuple([shadow(one) for one in message.shadow]), ()
    )
    memoised = _Part(lambda message: message.memoised, False)
    usage_token = _Part(lambda message: message.usage_token, b"")

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

    def to_report(self, hits: int | None = None) -> pb.ReportUsageRequest:
        """The message that reports what the request came to.

        Raises:
            InvalidRequestError: When there is nothing to report, or `hits` is no number of hits.
        """
        if not self.usage_token:
            message = "the decision names nothing to report; ask with `LimitSpend(report_later=True)`"
            raise from_reason(ErrorReason.FIELD_REQUIRED, "usage_token", message)
        try:
            return pb.ReportUsageRequest(usage_token=self.usage_token, hits=hits)
        except ValueError as fault:
            message = f"`{hits}` is out of range; write 0 to 1000000000"
            raise from_reason(ErrorReason.FIELD_OUT_OF_RANGE, "hits", message) from fault

    def to_mapping(self) -> dict[str, Any]:
        """The decision as a JSON document.

        Times are in seconds, the masked payload is text where it is text, the usage token base64.
        """
        pairs = {name: getattr(self, name) for name in _ATTRIBUTES}
        pairs["usage_token"] = base64.b64encode(self.usage_token).decode()
        return {"allowed": self.allowed, **_mapping(pairs.items())}

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
