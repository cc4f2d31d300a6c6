"""The stand-in client behaves as a client does."""

from __future__ import annotations

import inspect
from functools import partial

import pytest

from pdp.client import Client
from pdp.errors import AccessDenied, InvalidRequestError, from_reason
from pdp.model import CheckRequest, Decision, Effect, Question
from pdp.testing import StaticClient, allow, assert_allowed, assert_denied, deny

ACCESS = CheckRequest(questions=(Question.ACCESS,), request_id="r")


def test_static_client_has_the_client_s_methods() -> None:
    """What a program calls on a client, it can call on the stand-in, with the same arguments."""
    public = [name for name in vars(Client) if not name.startswith("_")]
    for name in public:
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (StaticClient, Client))
        assert ours == theirs, name


def test_requests_are_remembered() -> None:
    """A test can look at what was asked."""
    with StaticClient() as client:
        assert_allowed(client.check(ACCESS), by="static")
    assert client.requests == [ACCESS]


def test_reports_are_remembered() -> None:
    """Where the decision names something to report, and only there."""
    held = Decision(effect=Effect.ALLOW, usage_token=b"t")
    client = StaticClient(lambda _: held)
    with client.hold(ACCESS) as decision:
        client.report_usage(decision, hits=3)
    assert client.reports == [(held, 3), (held, None)]
    with pytest.raises(InvalidRequestError, match="report_later"):
        client.report_usage(allow(ACCESS))


def test_rule_decides() -> None:
    """Denials carry the rule's code and raise where a client would."""
    client = StaticClient(partial(deny, code="closed"))
    assert_denied(client.check(ACCESS), by="static", code="closed")
    with pytest.raises(AccessDenied, match="closed"):
        client.authorize(ACCESS)


def test_failure_of_one_item_leaves_the_others() -> None:
    """A rule may fail; a batch then holds the failure."""

    def rule(request: CheckRequest) -> Decision:
        if not request.questions:
            raise from_reason("FIELD_REQUIRED", "questions", "is empty")
        return allow(request)

    good, bad = StaticClient(rule).check_batch([ACCESS, CheckRequest(questions=())])
    assert good.unwrap().allowed
    with pytest.raises(InvalidRequestError):
        bad.unwrap()


def test_failed_assertion_says_why() -> None:
    """The message holds the reasons, so that nobody has to run it again."""
    denied = deny(ACCESS, "device_lost")
    with pytest.raises(AssertionError, match="expected ALLOW, got DENY: POLICY_DENY device_lost static"):
        assert_allowed(denied)
    with pytest.raises(AssertionError, match="expected DENY, got ALLOW"):
        assert_denied(allow(ACCESS))
    with pytest.raises(AssertionError, match="expected DENY by `shop`"):
        assert_denied(denied, by="shop")
    with pytest.raises(AssertionError, match="expected DENY for `other`"):
        assert_denied(denied, code="other")
