"""The asyncio client behaves as the blocking one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from pdp._proto import decision_pb2 as pb
from pdp.client import AsyncClient, ClientOptions
from pdp.errors import AccessDenied, InvalidRequestError, UnavailableError
from pdp.model import CheckRequest, Question

ACCESS = CheckRequest(questions=(Question.ACCESS,))
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, None)


def run(script: Any, work: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    """What `work` makes of a client of the scripted service."""

    async def main() -> Any:
        options = ClientOptions(timeout_seconds=5.0, backoff_seconds=0.001)
        async with AsyncClient(script.target, options) as client:
            return await work(client)

    return asyncio.run(main())


def test_decision_comes_back(script: Any) -> None:
    """The request arrives as it was made, and the decision is read."""
    assert run(script, lambda client: client.check(ACCESS)).allowed
    assert script.seen == [ACCESS.to_proto()]


def test_authorize_raises_on_deny(script: Any) -> None:
    """A caller that forgets to look is stopped."""
    script.answer = lambda _: pb.CheckResponse(decision=pb.Decision(effect=pb.EFFECT_DENY))
    with pytest.raises(AccessDenied):
        run(script, lambda client: client.authorize(ACCESS))


def test_report_and_hold(script: Any) -> None:
    """What was spent is corrected, and what is held given back, as by the blocking client."""
    decision = pb.Decision(effect=pb.EFFECT_ALLOW, usage_token=b"token")
    script.answer = lambda _: pb.CheckResponse(decision=decision)

    async def work(client: AsyncClient) -> str:
        (status,) = await client.report_usage(await client.check(ACCESS), hits=0)
        async with client.hold(ACCESS) as held:
            assert held.allowed
            assert len(script.reports) == 1
        return status.name

    assert run(script, work) == "per-hour"
    token = pb.ReportUsageRequest(usage_token=b"token")
    assert script.reports == [pb.ReportUsageRequest(usage_token=b"token", hits=0), token]


def test_unavailable_is_tried_again(script: Any) -> None:
    """A question that changes nothing may be asked again."""
    script.failures = [UNAVAILABLE]
    assert run(script, lambda client: client.check(ACCESS)).allowed


def test_unnamed_spend_is_never_tried_again(script: Any) -> None:
    """The first attempt may have spent the counter."""
    script.failures = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        run(script, lambda client: client.check(CheckRequest(questions=(Question.RATE_LIMIT,))))
    assert len(script.seen) == 1


def test_batch_answers_each_item(script: Any) -> None:
    """One bad item never spoils the rest."""
    good, bad = run(script, lambda client: client.check_batch([ACCESS, CheckRequest(questions=())]))
    assert good.unwrap().allowed
    with pytest.raises(InvalidRequestError):
        bad.unwrap()


def test_stream_takes_either_kind_of_iterable(script: Any) -> None:
    """Requests may come from a list or from an asynchronous source."""

    async def source() -> AsyncIterator[CheckRequest]:
        yield ACCESS
        yield ACCESS

    async def both(client: AsyncClient) -> list[str]:
        first = [one.request_id async for one in client.stream([ACCESS, ACCESS])]
        return first + [one.request_id async for one in client.stream(source())]

    assert run(script, both) == ["stream-0", "stream-1"] * 2


def test_broken_stream_is_an_error(script: Any) -> None:
    """The end of a stream that failed is not the end of its answers."""
    script.failures = [UNAVAILABLE]

    async def drained(client: AsyncClient) -> list[Any]:
        return [one async for one in client.stream([ACCESS])]

    with pytest.raises(UnavailableError):
        run(script, drained)


def test_cancelled_call_does_not_spoil_the_next(script: Any) -> None:
    """A caller that gives up leaves a usable client."""

    async def impatient(client: AsyncClient) -> bool:
        task = asyncio.ensure_future(client.check(ACCESS))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return (await client.check(ACCESS)).allowed

    assert run(script, impatient)
