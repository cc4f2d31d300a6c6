"""Calls of a decision point's admin service, which listens on loopback only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from pdp._proto import admin_pb2 as pb
from pdp.client import error_of
from pdp.errors import ErrorReason, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVICE: Final = "/pdp.v1.AdminService/"
_Answer = TypeVar("_Answer")


def inspect_limit(admin: str, counter: pb.LimitCounter, timeout: float) -> pb.InspectLimitResponse:
    """How a limit stands for a key."""
    request = pb.InspectLimitRequest(counter=counter)
    return _call(admin, "InspectLimit", request, pb.InspectLimitResponse.FromString, timeout)


def reset_limit(admin: str, counter: pb.LimitCounter, timeout: float) -> pb.ResetLimitResponse:
    """Forgets what was spent of a limit under a key."""
    request = pb.ResetLimitRequest(counter=counter)
    return _call(admin, "ResetLimit", request, pb.ResetLimitResponse.FromString, timeout)


def top_talkers(admin: str, most: int, timeout: float) -> pb.GetTopTalkersResponse:
    """Who asks most of the node."""
    request = pb.GetTopTalkersRequest(most=most)
    return _call(admin, "GetTopTalkers", request, pb.GetTopTalkersResponse.FromString, timeout)


def _call(admin: str, method: str, request: Any, read: Callable[[bytes], _Answer], timeout: float) -> _Answer:
    """The answer of one call.

    Raises:
        RequestError: Naming what the service refused, or that nobody answers.
    """
    with grpc.insecure_channel(admin) as channel:
        call = channel.unary_unary(_SERVICE + method, type(request).SerializeToString, read)
        try:
            answer: _Answer = call(request, timeout=timeout)
        except grpc.RpcError as failure:
            if failure.code() is grpc.StatusCode.UNAVAILABLE and not _is_answer(failure):
                message = (
                    f"no admin service answers at `{admin}`: start `pdp serve`, or name its "
                    f"`admin_listen` with --admin ({failure.details()})"
                )
                raise UnavailableError(ErrorReason.NOT_READY, "", message) from failure
            if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                message = f"`{admin}` has no `{method}`: name the admin listener, not that of decisions"
                raise UnavailableError(ErrorReason.NOT_READY, "", message) from failure
            raise error_of(failure) from failure
    return answer


def _is_answer(failure: grpc.RpcError) -> bool:
    """Whether a service said it, and not the connection."""
    trailers: Any = failure.trailing_metadata() or ()
    return any(key == "pdp-error-bin" for key, _ in trailers)
