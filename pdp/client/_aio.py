"""The asyncio client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import grpc
import grpc.aio

from pdp.client._call import (
    ForkCount,
    backoff_seconds,
    batch_of,
    error_of,
    may_retry,
    multicallables,
    stream_request,
)
from pdp.client._options import ClientOptions
from pdp.errors import RequestError
from pdp.model import CheckRequest, CheckResult, Decision, LimitStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
    from types import TracebackType

    from pdp._proto import decision_pb2 as pb


class _Connection(NamedTuple):
    """A channel with the service's methods, and the process and loop it belongs to."""

    fork: int
    loop: asyncio.AbstractEventLoop
    channel: grpc.aio.Channel
    check: Callable[..., Any]
    check_batch: Callable[..., Any]
    check_stream: Callable[..., Any]
    report_usage: Callable[..., Any]


class AsyncClient:
    """Asks a decision point from asyncio; the same questions and errors as `Client`."""

    def __init__(self, target: str, options: ClientOptions | None = None) -> None:
        """Prepares a client of the decision point at `target`, `host:port`; connects with the first call.

        Raises:
            ConfigError: When TLS files cannot be read.
        """
        self._target = target
        self._options = options or ClientOptions()
        self._credentials = self._options.credentials()
        self._connection: _Connection | None = None

    async def __aenter__(self) -> Self:
        """Returns the client, to be closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        await self.close()

    async def close(self) -> None:
        """Closes the connection; a later call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.fork == ForkCount.value:
            await connection.channel.close(None)

    async def check(self, request: CheckRequest, *, timeout: float | None = None) -> Decision:  # noqa: ASYNC109 - a deadline sent to the server
        """The decision on one request; see `Client.check`."""
        message = request.to_proto()
        answer = await self._call("check", message, repeatable=request.is_repeatable, timeout=timeout)
        return Decision.from_proto(answer.decision, answer.request_id)

    async def authorize(self, request: CheckRequest, *, timeout: float | None = None) -> Decision:  # noqa: ASYNC109
        """The decision on one request, if it is ALLOW; see `Client.authorize`."""
        return (await self.check(request, timeout=timeout)).require_allowed()

    async def check_batch(
        self,
        requests: Sequence[CheckRequest],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[CheckResult, ...]:
        """One result per request, in their order; see `Client.check_batch`."""
        message, repeatable = batch_of(requests)
        answer = await self._call("check_batch", message, repeatable=repeatable, timeout=timeout)
        return tuple(CheckResult.from_proto(one) for one in answer.results)

    async def stream(
        self,
        requests: Iterable[CheckRequest] | AsyncIterable[CheckRequest],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncIterator[CheckResult]:
        """Results as they come; see `Client.stream`."""
        call = self._connect().check_stream(_messages(requests), timeout=timeout)
        try:
            async for answer in call:
                yield CheckResult.from_proto(answer.result)
        except grpc.RpcError as failure:
            raise error_of(failure) from failure
        finally:
            call.cancel()

    async def report_usage(
        self,
        decision: Decision,
        *,
        hits: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[LimitStatus, ...]:
        """Says what a decision's request came to; see `Client.report_usage`."""
        message = decision.to_report(hits)
        answer = await self._call("report_usage", message, repeatable=True, timeout=timeout)
        return tuple(LimitStatus.from_proto(one) for one in answer.limits)

    @asynccontextmanager
    async def hold(self, request: CheckRequest, *, timeout: float | None = None) -> AsyncIterator[Decision]:  # noqa: ASYNC109
        """Holds places of concurrency limits for the length of the block; see `Client.hold`."""
        decision = await self.check(request, timeout=timeout)
        try:
            yield decision
        finally:
            if decision.usage_token:
                with suppress(RequestError):
                    await self.report_usage(decision, timeout=timeout)

    async def _call(self, method: str, message: Any, *, repeatable: bool, timeout: float | None) -> Any:  # noqa: ASYNC109
        """Calls `method` until it answers, may not be repeated or runs out of time."""
        loop = asyncio.get_running_loop()
        seconds = self._options.timeout_seconds if timeout is None else timeout
        end = loop.time() + seconds
        attempt = 0
        while True:
            call = getattr(self._connect(), method)
            try:
                return await call(message, timeout=max(end - loop.time(), 0.001))
            except grpc.RpcError as failure:
                wait = None
                if may_retry(failure, repeatable=repeatable):
                    wait = backoff_seconds(self._options, attempt, end - loop.time())
                if wait is None:
                    raise error_of(failure) from failure
            attempt += 1
            await asyncio.sleep(wait)

    def _connect(self) -> _Connection:
        """The connection of this process and event loop."""
        loop = asyncio.get_running_loop()
        connection = self._connection
        if connection is None or connection.fork != ForkCount.value or connection.loop is not loop:
            channel = self._open()
            connection = _Connection(ForkCount.value, loop, channel, *multicallables(channel))
            self._connection = connection
        return connection

    def _open(self) -> grpc.aio.Channel:
        arguments = self._options.channel_arguments()
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, arguments)
        return grpc.aio.secure_channel(self._target, self._credentials, arguments)


async def _messages(
    requests: Iterable[CheckRequest] | AsyncIterable[CheckRequest],
) -> AsyncIterator[pb.CheckStreamRequest]:
    """Messages for each request, from either kind of iterable."""
    number = 0
    if hasattr(requests, "__aiter__"):
        async for request in requests:
            yield stream_request(request, number)
            number += 1
        return
    for request in requests:
        yield stream_request(request, number)
        number += 1
