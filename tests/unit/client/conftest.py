"""A scripted decision service, so that the client is tested without the core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from pdp._proto import decision_pb2 as pb


def allowed(request: pb.CheckRequest) -> pb.CheckResponse:
    """An ALLOW."""
    decision = pb.Decision(effect=pb.EFFECT_ALLOW, decision_id="d")
    return pb.CheckResponse(request_id=request.request_id, decision=decision)


@dataclass
class Script:
    """What the service does, and what it has seen.

    Attributes:
        failures: Status codes with details that come first, one per call.
        seen: Requests in order of arrival.
        reports: Reports in order of arrival.
        deadlines: Seconds left of each call.
    """

    failures: list[tuple[grpc.StatusCode, pb.ErrorDetail | None]] = field(default_factory=list)
    answer: Callable[[pb.CheckRequest], pb.CheckResponse] = allowed
    seen: list[pb.CheckRequest] = field(default_factory=list)
    reports: list[pb.ReportUsageRequest] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    target: str = ""

    def _open(self, context: grpc.ServicerContext) -> None:
        self.deadlines.append(context.time_remaining() or 0.0)
        if self.failures:
            code, detail = self.failures.pop(0)
            if detail is not None:
                context.set_trailing_metadata([("pdp-error-bin", detail.SerializeToString())])
            context.abort(code, "scripted")

    def check(self, request: pb.CheckRequest, context: grpc.ServicerContext) -> pb.CheckResponse:
        """Answers one request."""
        self.seen.append(request)
        self._open(context)
        return self.answer(request)

    def check_batch(
        self, request: pb.CheckBatchRequest, context: grpc.ServicerContext
    ) -> pb.CheckBatchResponse:
        """Answers each item; one without questions fails."""
        self.seen.extend(request.items)
        self._open(context)
        return pb.CheckBatchResponse(results=[self._result(one) for one in request.items])

    def check_stream(
        self, requests: Iterator[pb.CheckStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.CheckStreamResponse]:
        """Answers as requests come."""
        self._open(context)
        for one in requests:
            self.seen.append(one.request)
            yield pb.CheckStreamResponse(result=self._result(one.request))

    def report_usage(
        self, request: pb.ReportUsageRequest, context: grpc.ServicerContext
    ) -> pb.ReportUsageResponse:
        """Takes a report."""
        self.reports.append(request)
        self._open(context)
        return pb.ReportUsageResponse(limits=[pb.LimitStatus(name="per-hour", remaining=9)])

    def _result(self, request: pb.CheckRequest) -> pb.CheckResult:
        if not request.questions:
            error = pb.ErrorDetail(
                reason=pb.ERROR_REASON_FIELD_REQUIRED, field="questions", message="is empty"
            )
            return pb.CheckResult(request_id=request.request_id, error=error)
        return pb.CheckResult(request_id=request.request_id, decision=self.answer(request).decision)


def serve(script: Script, pool: ThreadPoolExecutor) -> grpc.Server:
    """A server of `script` on a port of the system's choice."""
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    handlers: dict[str, Any] = {
        "Check": unary(script.check, pb.CheckRequest.FromString, pb.CheckResponse.SerializeToString),
        "CheckBatch": unary(
            script.check_batch, pb.CheckBatchRequest.FromString, pb.CheckBatchResponse.SerializeToString
        ),
        "CheckStream": stream(
            script.check_stream, pb.CheckStreamRequest.FromString, pb.CheckStreamResponse.SerializeToString
        ),
    }
    handlers["ReportUsage"] = unary(
        script.report_usage, pb.ReportUsageRequest.FromString, pb.ReportUsageResponse.SerializeToString
    )
    server = grpc.server(pool)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("pdp.v1.PolicyDecisionService", handlers),)
    )
    script.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    return server


@pytest.fixture
def script() -> Iterator[Script]:
    """A running service that allows everything until told otherwise."""
    script = Script()
    with ThreadPoolExecutor(4) as pool:
        server = serve(script, pool)
        yield script
        server.stop(None).wait()
