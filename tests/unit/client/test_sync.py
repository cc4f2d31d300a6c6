"""The blocking client: answers, errors, deadlines, retries, forks."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from pdp._proto import decision_pb2 as pb
from pdp.client import Client, ClientOptions
from pdp.errors import (
    AccessDenied,
    DeadlineError,
    ErrorReason,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    UnavailableError,
)
from pdp.model import CheckRequest, Question, Subject

ACCESS = CheckRequest(questions=(Question.ACCESS,), subject=Subject("ada"))
SPEND = CheckRequest(questions=(Question.RATE_LIMIT,))
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, None)


@pytest.fixture
def client(script: Any) -> Iterator[Client]:
    """A client of the scripted service."""
    with Client(script.target, ClientOptions(timeout_seconds=5.0, backoff_seconds=0.001)) as client:
        yield client


def denied(request: pb.CheckRequest) -> pb.CheckResponse:
    """A DENY."""
    return pb.CheckResponse(request_id=request.request_id, decision=pb.Decision(effect=pb.EFFECT_DENY))


def test_decision_comes_back(script: Any, client: Client) -> None:
    """The request arrives as it was made, and the decision is read."""
    assert client.check(ACCESS).allowed
    assert script.seen == [ACCESS.to_proto()]


def holding(request: pb.CheckRequest) -> pb.CheckResponse:
    """An ALLOW that holds something."""
    decision = pb.Decision(effect=pb.EFFECT_ALLOW, usage_token=b"token")
    return pb.CheckResponse(request_id=request.request_id, decision=decision)


def test_report_is_sent_again_while_nobody_answers(script: Any, client: Client) -> None:
    """A second report with the same token changes nothing, so it is safe to repeat."""
    script.answer = holding
    decision = client.check(SPEND)
    script.failures = [UNAVAILABLE]
    (status,) = client.report_usage(decision, hits=3)
    assert (status.name, status.remaining) == ("per-hour", 9)
    assert script.reports == [pb.ReportUsageRequest(usage_token=b"token", hits=3)] * 2


def test_report_on_nothing_is_refused_before_it_is_sent(script: Any, client: Client) -> None:
    """The caller forgot to announce it."""
    with pytest.raises(InvalidRequestError, match="report_later"):
        client.report_usage(client.check(ACCESS))
    assert script.reports == []


def test_hold_is_given_back_whatever_the_block_does(script: Any, client: Client) -> None:
    """Once, after the block, also where it raises."""
    script.answer = holding
    with client.hold(SPEND) as decision:
        assert decision.allowed
        assert script.reports == []
    assert script.reports == [pb.ReportUsageRequest(usage_token=b"token")]
    with pytest.raises(KeyError), client.hold(SPEND):
        raise KeyError
    assert len(script.reports) == 2


def test_hold_that_cannot_be_given_back_does_not_undo_the_work(script: Any, client: Client) -> None:
    """It ends by itself; an error would make the caller do its work again."""
    script.answer = holding
    with client.hold(SPEND):
        script.failures = [(grpc.StatusCode.INTERNAL, None)]
    assert len(script.reports) == 1


def test_hold_of_nothing_reports_nothing(script: Any, client: Client) -> None:
    """A decision without a token holds nothing."""
    with client.hold(ACCESS) as decision:
        assert decision.allowed
    assert script.reports == []


def test_answer_without_a_decision_is_a_deny(script: Any, client: Client) -> None:
    """What is missing never reads as ALLOW."""
    script.answer = lambda request: pb.CheckResponse(request_id=request.request_id)
    assert not client.check(ACCESS).allowed


def test_authorize_raises_on_deny(script: Any, client: Client) -> None:
    """A caller that forgets to look is stopped."""
    script.answer = denied
    with pytest.raises(AccessDenied):
        client.authorize(ACCESS)


def test_deadline_is_sent(script: Any, client: Client) -> None:
    """The server knows how long the caller waits."""
    client.check(ACCESS, timeout=2.0)
    # gRPC rounds it up on the wire; the client's own would be 5.
    assert 0 < script.deadlines[0] < 3.0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, OverloadedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineError),
        (grpc.StatusCode.INTERNAL, ServerError),
        (grpc.StatusCode.UNIMPLEMENTED, ServerError),
    ],
)
def test_status_without_detail_is_still_an_error(
    script: Any, client: Client, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    """Proxies answer without the product's trailer."""
    script.failures = [(code, None)]
    with pytest.raises(kind):
        client.check(ACCESS)
    assert len(script.seen) == 1


def test_detail_names_the_field(script: Any, client: Client) -> None:
    """The trailer's reason and field reach the caller."""
    detail = pb.ErrorDetail(reason=2, field="limit.hits", message="must be 1 or more")
    script.failures = [(grpc.StatusCode.INVALID_ARGUMENT, detail)]
    with pytest.raises(InvalidRequestError) as caught:
        client.check(ACCESS)
    assert (caught.value.reason, caught.value.field) == (ErrorReason.FIELD_OUT_OF_RANGE, "limit.hits")


def test_unavailable_is_tried_again(script: Any, client: Client) -> None:
    """A question that changes nothing may be asked again."""
    script.failures = [UNAVAILABLE, UNAVAILABLE]
    assert client.check(ACCESS).allowed
    assert len(script.seen) == 3


def test_attempts_are_bounded(script: Any, client: Client) -> None:
    """A server that is away is not asked for ever."""
    script.failures = [UNAVAILABLE] * 9
    with pytest.raises(UnavailableError):
        client.check(ACCESS)
    assert len(script.seen) == 3


def test_unnamed_spend_is_never_tried_again(script: Any, client: Client) -> None:
    """The first attempt may have spent the counter."""
    script.failures = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        client.check(SPEND)
    assert len(script.seen) == 1


def test_named_spend_is_tried_again(script: Any, client: Client) -> None:
    """The same id spends once."""
    script.failures = [UNAVAILABLE]
    assert client.check(CheckRequest(questions=(Question.RATE_LIMIT,), request_id="r-1")).allowed
    assert [one.request_id for one in script.seen] == ["r-1", "r-1"]


def test_batch_with_an_unnamed_spend_is_never_tried_again(script: Any, client: Client) -> None:
    """One item that may not be repeated holds for the whole batch."""
    script.failures = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        client.check_batch([ACCESS, SPEND])
    assert len(script.seen) == 2


def test_batch_answers_each_item(client: Client) -> None:
    """One bad item never spoils the rest."""
    good, bad = client.check_batch([ACCESS, CheckRequest(questions=())])
    assert good.unwrap().allowed
    with pytest.raises(InvalidRequestError):
        bad.unwrap()


def test_stream_names_what_has_no_name(client: Client) -> None:
    """Answers are told apart by id, so each request gets one."""
    named = CheckRequest(questions=(Question.ACCESS,), request_id="mine")
    results = list(client.stream([ACCESS, named]))
    assert {one.request_id for one in results} == {"stream-0", "mine"}
    assert all(one.unwrap().allowed for one in results)


def test_stream_may_be_left_early(client: Client) -> None:
    """An endless stream ends when its reader does."""
    endless = (CheckRequest(questions=(Question.ACCESS,), request_id=f"r{n}") for n in itertools.count())
    results = client.stream(endless)
    assert next(results).unwrap().allowed
    results.close()  # type: ignore[attr-defined]


def test_broken_stream_is_an_error(script: Any, client: Client) -> None:
    """The end of a stream that failed is not the end of its answers."""
    script.failures = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        list(client.stream([ACCESS]))


def test_closed_client_opens_again(client: Client) -> None:
    """Closing is no trap."""
    client.close()
    assert client.check(ACCESS).allowed


def test_nobody_listens() -> None:
    """A refused connection is UNAVAILABLE within the deadline."""
    options = ClientOptions(timeout_seconds=2.0, backoff_seconds=0.001)
    with Client("127.0.0.1:1", options) as client, pytest.raises(UnavailableError):
        client.check(ACCESS)


FORKED = """
import os, sys
from pdp.client import Client, ClientOptions
from pdp.model import CheckRequest, Question

request = CheckRequest(questions=(Question.ACCESS,))
client = Client(sys.argv[1], ClientOptions(timeout_seconds=10.0))
assert client.check(request).allowed
child = os.fork()
if child == 0:
    os._exit(0 if client.check(request).allowed else 1)
_, status = os.waitpid(child, 0)
assert client.check(request).allowed
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_child_of_a_fork_asks_over_its_own_connection(script: Any) -> None:
    """Pre-forking servers import and use the client before they fork."""
    subprocess.run([sys.executable, "-c", FORKED, script.target], check=True, timeout=60)
    assert len(script.seen) == 3
