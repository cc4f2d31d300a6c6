"""The blocking client."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import grpc

from pdp.client._call import (
    ForkCount,
    backoff_seconds,
    batch_of,
    error_of,
    may_retry,
    multicallables,
    stream_requests,
)
from pdp.client._options import ClientOptions
from pdp.errors import RequestError
from pdp.model import CheckRequest, CheckResult, Decision, LimitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType


class _Connection(NamedTuple):
    """A channel with the service's methods, and the process it belongs to."""

    fork: int
    channel: grpc.Channel
    check: Callable[..., Any]
    check_batch: Callable[..., Any]
    check_stream: Callable[..., Any]
    report_usage: Callable[..., Any]


class Client:
    """Asks a decision point; may be shared by threads, and reconnects after a fork.

    Example:
        >>> from pdp import CheckRequest, Client, Question, Resource, Subject
        >>> client = Client("127.0.0.1:7070")
        >>> client.close()
    """

    def __init__(self, target: str, options: ClientOptions | None = None) -> None:
        """Prepares a client of the decision point at `target`, `host:port`; connects with the first call.

        Raises:
            ConfigError: When TLS files cannot be read.
        """
        self._target = target
        self._options = options or ClientOptions()
        self._credentials = self._options.credentials()
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def __enter__(self) -> Self:
        """Returns the client, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    def close(self) -> None:
        """Closes the connection; a later call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.fork == ForkCount.value:
            connection.channel.close()

    def check(self, request: CheckRequest, *, timeout: float | None = None) -> Decision:
        """The decision on one request.

        Args:
            request: What is asked.
            timeout: Seconds for the call with all its retries, instead of the client's own.

        Raises:
            RequestError: When there is no decision; its class and `reason` say why.
        """
        message = request.to_proto()
        answer = self._call("check", message, repeatable=request.is_repeatable, timeout=timeout)
        return Decision.from_proto(answer.decision, answer.request_id)

    def authorize(self, request: CheckRequest, *, timeout: float | None = None) -> Decision:
        """The decision on one request, if it is ALLOW.

        Raises:
            AccessDenied: When the decision is DENY.
            RequestError: When there is no decision.
        """
        return self.check(request, timeout=timeout).require_allowed()

    def check_batch(
        self, requests: Sequence[CheckRequest], *, timeout: float | None = None
    ) -> tuple[CheckResult, ...]:
        """One result per request, in their order; one bad item never spoils the rest.

        Raises:
            RequestError: When the whole batch got no answer.
        """
        message, repeatable = batch_of(requests)
        answer = self._call("check_batch", message, repeatable=repeatable, timeout=timeout)
        return tuple(CheckResult.from_proto(one) for one in answer.results)

    def stream(
        self, requests: Iterable[CheckRequest], *, timeout: float | None = None
    ) -> Iterator[CheckResult]:
        """Results as they come, named by request id, in any order; reads `requests` as the server takes them.

        Args:
            requests: What is asked; one without an id is named `stream-<number>`.
            timeout: Seconds for the whole stream; None means none.

        Raises:
            RequestError: When the stream breaks.
        """
        call = self._connect().check_stream(iter(stream_requests(requests)), timeout=timeout)
        try:
            for answer in call:
                yield CheckResult.from_proto(answer.result)
        except grpc.RpcError as failure:
            raise error_of(failure) from failure
        finally:
            call.cancel()

    def report_usage(
        self, decision: Decision, *, hits: int | None = None, timeout: float | None = None
    ) -> tuple[LimitStatus, ...]:
        """Says what a decision's request came to, and gives back what it holds of concurrency limits.

        A second report on the same decision changes nothing.

        Args:
            decision: One whose request said `report_later`, or that holds a place of a concurrency limit.
            hits: What it cost, 0 to 1,000,000,000; None leaves the estimate as it is.
            timeout: Seconds for the call with all its retries, instead of the client's own.

        Returns:
            How the limits stand that it spent.

        Raises:
            RequestError: When the decision names nothing to report, or there is no answer.
        """
        message = decision.to_report(hits)
        answer = self._call("report_usage", message, repeatable=True, timeout=timeout)
        return tuple(LimitStatus.from_proto(one) for one in answer.limits)

    @contextmanager
    def hold(self, request: CheckRequest, *, timeout: float | None = None) -> Iterator[Decision]:
        """Holds places of concurrency limits for the length of the block.

        The decision may be DENY: ask it. What it holds is given back at the end of the block; where that
        gets no answer, it ends by itself when the limit's `hold` is over.

        Raises:
            RequestError: When there is no decision.
        """
        decision = self.check(request, timeout=timeout)
        try:
            yield decision
        finally:
            if decision.usage_token:
                with suppress(RequestError):
                    self.report_usage(decision, timeout=timeout)

    def _call(self, method: str, message: Any, *, repeatable: bool, timeout: float | None) -> Any:
        """Calls `method` until it answers, may not be repeated or runs out of time."""
        seconds = self._options.timeout_seconds if timeout is None else timeout
        end = time.monotonic() + seconds
        attempt = 0
        while True:
            call = getattr(self._connect(), method)
            try:
                return call(message, timeout=max(end - time.monotonic(), 0.001))
            except grpc.RpcError as failure:
                wait = None
                if may_retry(failure, repeatable=repeatable):
                    wait = backoff_seconds(self._options, attempt, end - time.monotonic())
                if wait is None:
                    raise error_of(failure) from failure
            attempt += 1
            time.sleep(wait)

    def _connect(self) -> _Connection:
        """The connection of this process."""
        connection = self._connection
        if connection is not None and connection.fork == ForkCount.value:
            return connection
        with self._lock:
            connection = self._connection
            if connection is None or connection.fork != ForkCount.value:
                channel = self._open()
                connection = _Connection(ForkCount.value, channel, *multicallables(channel))
                self._connection = connection
            return connection

    def _open(self) -> grpc.Channel:
        arguments = self._options.channel_arguments()
        if self._credentials is None:
            return grpc.insecure_channel(self._target, arguments)
        return grpc.secure_channel(self._target, self._credentials, arguments)
