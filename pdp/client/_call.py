"""What both clients share: methods, status mapping, retries, forks."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError

from pdp._proto import decision_pb2 as pb
from pdp.errors import ErrorReason, RequestError, from_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pdp.client._options import ClientOptions
    from pdp.model import CheckRequest

CHECK: Final = "/pdp.v1.PolicyDecisionService/Check"
CHECK_BATCH: Final = "/pdp.v1.PolicyDecisionService/CheckBatch"
CHECK_STREAM: Final = "/pdp.v1.PolicyDecisionService/CheckStream"
REPORT_USAGE: Final = "/pdp.v1.PolicyDecisionService/ReportUsage"

_DETAIL_KEY: Final = "pdp-error-bin"
_REASONS: Final = {
    grpc.StatusCode.UNAVAILABLE: ErrorReason.NOT_READY,
    grpc.StatusCode.DEADLINE_EXCEEDED: ErrorReason.DEADLINE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ErrorReason.OVERLOADED,
    grpc.StatusCode.INVALID_ARGUMENT: ErrorReason.FIELD_MALFORMED,
    grpc.StatusCode.NOT_FOUND: ErrorReason.POLICY_UNKNOWN,
    grpc.StatusCode.FAILED_PRECONDITION: ErrorReason.REVISION_NOT_ACTIVE,
}


class ForkCount:
    """How many forks lie between this process and the one that imported the SDK.

    A connection made before a fork is shared with the parent: whoever sees the
    count change must make a new one.
    """

    value = 0

    @classmethod
    def advance(cls) -> None:
        """Runs in each child right after the fork."""
        cls.value += 1


os.register_at_fork(after_in_child=ForkCount.advance)


def error_of(failure: grpc.RpcError) -> RequestError:
    """The error that a failed call stands for."""
    code = failure.code()
    details = failure.details() or ""
    trailers: Any = failure.trailing_metadata() or ()
    for key, value in trailers:
        if key == _DETAIL_KEY:
            try:
                detail = pb.ErrorDetail.FromString(value)
            except DecodeError:
                break
            name = pb.ErrorReason.DESCRIPTOR.values_by_number.get(detail.reason)
            reason = "" if name is None else name.name.removeprefix("ERROR_REASON_")
            return from_reason(reason, detail.field, detail.message or details)
    return from_reason(_REASONS.get(code, ErrorReason.INTERNAL), "", details or str(code))


def may_retry(failure: grpc.RpcError, *, repeatable: bool) -> bool:
    """Whether trying again is useful and safe: a counter must not be spent twice."""
    return repeatable and failure.code() is grpc.StatusCode.UNAVAILABLE


def backoff_seconds(options: ClientOptions, attempt: int, remaining: float) -> float | None:
    """How long to wait before the next attempt, with full jitter; None where no time is left."""
    if attempt + 1 >= options.attempts:
        return None
    wait = random.uniform(0, options.backoff_seconds * 2**attempt)  # noqa: S311 - spreads load, guards nothing
    return wait if wait < remaining else None


def batch_of(requests: Sequence[CheckRequest]) -> tuple[pb.CheckBatchRequest, bool]:
    """The batch message, and whether sending it twice is safe."""
    message = pb.CheckBatchRequest(items=[one.to_proto() for one in requests])
    return message, all(one.is_repeatable for one in requests)


def stream_request(request: CheckRequest, number: int) -> pb.CheckStreamRequest:
    """A stream's message; a request without an id gets its number in the stream."""
    message = request.to_proto()
    if not message.request_id:
        message.request_id = f"stream-{number}"
    return pb.CheckStreamRequest(request=message)


def stream_requests(requests: Iterable[CheckRequest]) -> Iterable[pb.CheckStreamRequest]:
    """Messages for each request, made when the connection asks for the next one."""
    for number, request in enumerate(requests):
        yield stream_request(request, number)


def multicallables(channel: Any) -> tuple[Callable[..., Any], ...]:
    """The service's methods on a channel, sync or asyncio, in the order of a connection's fields."""
    return (
        channel.unary_unary(
            CHECK,
            request_serializer=pb.CheckRequest.SerializeToString,
            response_deserializer=pb.CheckResponse.FromString,
        ),
        channel.unary_unary(
            CHECK_BATCH,
            request_serializer=pb.CheckBatchRequest.SerializeToString,
            response_deserializer=pb.CheckBatchResponse.FromString,
        ),
        channel.stream_stream(
            CHECK_STREAM,
            request_serializer=pb.CheckStreamRequest.SerializeToString,
            response_deserializer=pb.CheckStreamResponse.FromString,
        ),
        channel.unary_unary(
            REPORT_USAGE,
            request_serializer=pb.ReportUsageRequest.SerializeToString,
            response_deserializer=pb.ReportUsageResponse.FromString,
        ),
    )
