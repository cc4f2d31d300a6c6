"""A client that answers from a rule and remembers what it was asked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from pdp.errors import AccessDenied, RequestError
from pdp.model import (
    CheckFailure,
    CheckRequest,
    CheckResult,
    Decision,
    Effect,
    LimitStatus,
    Reason,
    ReasonCode,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

_POLICY = "static"


def allow(request: CheckRequest) -> Decision:
    """An ALLOW of every question that `request` asks."""
    return _decision(request, Effect.ALLOW, Reason(ReasonCode.POLICY_ALLOW, _POLICY))


def deny(request: CheckRequest, code: str = "") -> Decision:
    """A DENY of every question that `request` asks, with a policy's own `code`."""
    return _decision(request, Effect.DENY, Reason(ReasonCode.POLICY_DENY, _POLICY, code))


def _decision(request: CheckRequest, effect: Effect, reason: Reason) -> Decision:
    verdicts = tuple(Verdict(question, effect, (reason,)) for question in request.questions)
    return Decision(effect=effect, request_id=request.request_id or "static", verdicts=verdicts)


class StaticClient:
    """Stands in for `Client` where a test needs answers and no server.

    Example:
        >>> from pdp import CheckRequest, Question
        >>> client = StaticClient(deny)
        >>> client.check(CheckRequest(questions=(Question.ACCESS,))).allowed
        False
        >>> len(client.requests)
        1
    """

    def __init__(self, rule: Callable[[CheckRequest], Decision] = allow) -> None:
        """Answers each request with what `rule` makes of it; a `RequestError` it raises is the failure."""
        self._rule = rule
        self.requests: list[CheckRequest] = []
        self.reports: list[tuple[Decision, int | None]] = []

    def __enter__(self) -> Self:
        """Returns the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: there is nothing to close."""

    def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def check(self, request: CheckRequest, *, timeout: float | None = None) -> Decision:
        """The rule's decision."""
        del timeout
        self.requests.append(request)
        return self._rule(request)

    def authorize(self, request: CheckRequest, *, timeout: float | None = None) -> Decision:
        """The rule's decision, if it is ALLOW.

        Raises:
            AccessDenied: When it is DENY.
        """
        decision = self.check(request, timeout=timeout)
        if not decision.allowed:
            raise AccessDenied(decision)
        return decision

    def report_usage(
        self, decision: Decision, *, hits: int | None = None, timeout: float | None = None
    ) -> tuple[LimitStatus, ...]:
        """Remembers the report; refuses it where a client would."""
        del timeout
        decision.to_report(hits)
        self.reports.append((decision, hits))
        return decision.limits

    @contextmanager
    def hold(self, request: CheckRequest, *, timeout: float | None = None) -> Iterator[Decision]:
        """The rule's decision; remembers a report at the end of the block where it holds something."""
        decision = self.check(request, timeout=timeout)
        try:
            yield decision
        finally:
            if decision.usage_token:
                self.report_usage(decision, timeout=timeout)

    def check_batch(
        self, requests: Sequence[CheckRequest], *, timeout: float | None = None
    ) -> tuple[CheckResult, ...]:
        """One result per request, in their order."""
        return tuple(self.stream(requests, timeout=timeout))

    def stream(
        self, requests: Iterable[CheckRequest], *, timeout: float | None = None
    ) -> Iterator[CheckResult]:
        """Results in the requests' order."""
        for request in requests:
            try:
                decision = self.check(request, timeout=timeout)
            except RequestError as fault:
                failure = CheckFailure(fault.reason, fault.field, fault.message)
                yield CheckResult(request.request_id, failure=failure)
            else:
                yield CheckResult(decision.request_id, decision)
