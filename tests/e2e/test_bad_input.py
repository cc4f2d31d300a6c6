"""Bad input gets a status, a stable reason and the field's path, and the server lives on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pdp._proto import decision_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE = "/pdp.v1.PolicyDecisionService"
CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class Server:
    """A served decision point in a process of its own."""

    process: subprocess.Popen[str]
    channel: grpc.Channel

    def call(self, method: str, message: bytes) -> bytes:
        """Sends bytes as they are."""
        answer: bytes = self.channel.unary_unary(f"{SERVICE}/{method}")(message, timeout=20)
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The sample estate, served by the command."""
    command = [sys.executable, "-m", "pdp.cli", "serve", "--quiet", "--log-format", "json"]
    for option in ("--listen", "--admin-listen", "--http-listen"):
        command += [option, "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        addresses: dict[str, Any] = json.loads(process.stderr.readline())
        limits = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(addresses["listen"], limits) as channel:
            yield Server(process, channel)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


def good() -> pb.CheckRequest:
    """A request that is allowed."""
    request = pb.CheckRequest(questions=[pb.QUESTION_SEGMENTATION])
    request.function.id = "media-ingest"
    request.function.labels["app"] = "ingest"
    request.function.roles.append("media-ingest")
    request.function.environment = "production"
    request.destination.id = "media-transcoder"
    request.destination.labels["environment"] = "production"
    return request


def changed(change: Callable[[pb.CheckRequest], object]) -> bytes:
    """The good request after `change`."""
    request = good()
    change(request)
    return request.SerializeToString()


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def deep_struct(levels: int) -> bytes:
    """A `google.protobuf.Struct` with lists nested `levels` deep."""
    value = field(3, b"x")
    for _ in range(levels):
        value = field(6, field(1, value))
    return field(1, field(1, b"deep") + field(2, value))


GOOD = good().SerializeToString()
ASK_LIMIT = pb.CheckRequest(questions=[pb.QUESTION_RATE_LIMIT]).SerializeToString()
INVALID = grpc.StatusCode.INVALID_ARGUMENT

# name: bytes of a CheckRequest, status, reason, field
TABLE: dict[str, tuple[bytes, grpc.StatusCode, str, str]] = {
    "empty_message": (b"", INVALID, "FIELD_REQUIRED", "questions"),
    "bytes_that_are_no_protobuf": (b"\xff" * 64, INVALID, "FIELD_MALFORMED", ""),
    "truncated_message": (GOOD[:-3], INVALID, "FIELD_MALFORMED", "destination"),
    "length_past_the_end": (b"\x12\xff\xff\xff\xff\x0f", INVALID, "FIELD_MALFORMED", "tenant"),
    "wrong_wire_type": (b"\x08\x01" + GOOD, INVALID, "FIELD_MALFORMED", "request_id"),
    "text_that_is_no_utf8": (GOOD + field(2, b"\xff\xfe"), INVALID, "FIELD_MALFORMED", "tenant"),
    "unknown_question": (changed(lambda r: r.questions.append(99)), INVALID, "ENUM_UNKNOWN", "questions[1]"),
    "unspecified_question": (
        changed(lambda r: r.questions.append(0)),
        INVALID,
        "ENUM_UNKNOWN",
        "questions[1]",
    ),
    "question_asked_twice": (
        changed(lambda r: r.questions.append(pb.QUESTION_SEGMENTATION)),
        INVALID,
        "DUPLICATE",
        "questions[1]",
    ),
    "unknown_destination_kind": (
        changed(lambda r: setattr(r.destination, "kind", 77)),
        INVALID,
        "ENUM_UNKNOWN",
        "destination.kind",
    ),
    "question_without_what_it_needs": (
        changed(lambda r: r.questions.append(pb.QUESTION_ACCESS)),
        INVALID,
        "FIELD_REQUIRED",
        "subject",
    ),
    "port_out_of_range": (
        changed(lambda r: setattr(r.destination, "port", 70_000)),
        INVALID,
        "FIELD_OUT_OF_RANGE",
        "destination.port",
    ),
    "body_of_ten_megabytes": (
        changed(lambda r: setattr(r.payload, "content", bytes(10 << 20))),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_LARGE",
        "",
    ),
    "too_many_roles": (
        changed(lambda r: r.function.roles.extend(["r"] * 300)),
        INVALID,
        "TOO_LARGE",
        "function.roles",
    ),
    "structure_ten_thousand_deep": (GOOD + field(16, deep_struct(10_000)), INVALID, "TOO_DEEP", "context"),
    "structure_past_the_documented_depth": (
        GOOD + field(16, deep_struct(33)),
        INVALID,
        "TOO_DEEP",
        "context.deep" + "[0]" * 31,
    ),
    "score_that_is_no_number": (
        changed(lambda r: setattr(r.behaviour, "score", float("nan"))),
        INVALID,
        "NUMBER_NOT_FINITE",
        "behaviour.score",
    ),
    "infinite_score": (
        changed(lambda r: setattr(r.behaviour, "score", float("inf"))),
        INVALID,
        "NUMBER_NOT_FINITE",
        "behaviour.score",
    ),
    "attribute_that_is_no_number": (
        changed(lambda r: r.context.update({"load": float("-inf")})),
        INVALID,
        "NUMBER_NOT_FINITE",
        "context.load",
    ),
    "zero_hits": (ASK_LIMIT + field(12, b"\x08\x00"), INVALID, "FIELD_OUT_OF_RANGE", "limit.hits"),
    "negative_hits": (
        ASK_LIMIT + field(12, b"\x08" + varint(2**64 - 1)),
        INVALID,
        "FIELD_OUT_OF_RANGE",
        "limit.hits",
    ),
    "request_id_with_a_line_break": (
        changed(lambda r: setattr(r, "request_id", "a\nb")),
        INVALID,
        "FIELD_MALFORMED",
        "request_id",
    ),
    "unknown_policy": (
        changed(lambda r: r.required_policy_ids.append("no.such.policy")),
        grpc.StatusCode.NOT_FOUND,
        "POLICY_UNKNOWN",
        "required_policy_ids[0]",
    ),
    "unknown_revision": (
        changed(lambda r: setattr(r, "policy_revision", "0000000000000000")),
        grpc.StatusCode.FAILED_PRECONDITION,
        "REVISION_NOT_ACTIVE",
        "policy_revision",
    ),
}


def refusal(server: Server, method: str, message: bytes) -> tuple[grpc.StatusCode, pb.ErrorDetail]:
    """Status and detail of a call that must fail."""
    with pytest.raises(grpc.RpcError) as raised:
        server.call(method, message)
    call: Any = raised.value
    trailers = dict(call.trailing_metadata() or ())
    detail = pb.ErrorDetail.FromString(trailers.get("pdp-error-bin", b""))
    return call.code(), detail


def assert_alive(server: Server) -> None:
    """The server still answers a good request, in the same process."""
    answer = pb.CheckResponse.FromString(server.call("Check", GOOD))
    assert answer.decision.effect == pb.EFFECT_ALLOW
    assert server.process.poll() is None


@pytest.mark.parametrize("name", TABLE)
def test_bad_request_is_refused_by_reason_and_field(name: str, server: Server) -> None:
    """Status, reason and field are the documented ones, and the next request is answered."""
    message, code, reason, path = TABLE[name]
    status, detail = refusal(server, "Check", message)
    assert (status, pb.ErrorReason.Name(detail.reason), detail.field) == (
        code,
        f"ERROR_REASON_{reason}",
        path,
    )
    assert CODES[detail.grpc_code] is code
    assert detail.message
    assert_alive(server)


@pytest.mark.parametrize("name", TABLE)
def test_bad_item_does_not_spoil_its_batch(name: str, server: Server) -> None:
    """The items beside a bad one get their decisions, and it gets its own error."""
    message, code, reason, path = TABLE[name]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # The message limit holds for the call, before its items are known.
        status, detail = refusal(server, "CheckBatch", field(1, GOOD) + field(1, message))
        assert (status, detail.reason) == (code, pb.ERROR_REASON_TOO_LARGE)
    else:
        answer = server.call("CheckBatch", field(1, GOOD) + field(1, message) + field(1, GOOD))
        first, bad, last = pb.CheckBatchResponse.FromString(answer).results
        assert first.decision.effect == last.decision.effect == pb.EFFECT_ALLOW
        assert pb.ErrorReason.Name(bad.error.reason) == f"ERROR_REASON_{reason}"
        assert bad.error.field == (f"items[1].{path}" if path else "items[1]")
        assert CODES[bad.error.grpc_code] is code
    assert_alive(server)


def test_second_item_of_one_id_is_a_duplicate(server: Server) -> None:
    """The first keeps its decision, the second names the field."""
    request = good()
    request.request_id = "twice"
    batch = pb.CheckBatchRequest(items=[request, request])
    first, second = pb.CheckBatchResponse.FromString(
        server.call("CheckBatch", batch.SerializeToString())
    ).results
    assert first.decision.effect == pb.EFFECT_ALLOW
    assert second.error.reason == pb.ERROR_REASON_DUPLICATE
    assert second.error.field == "items[1].request_id"
    assert_alive(server)


@pytest.mark.parametrize("items", [0, 1001])
def test_batch_of_a_wrong_size_is_refused(items: int, server: Server) -> None:
    """A batch holds 1 to 1,000 items."""
    status, detail = refusal(server, "CheckBatch", field(1, GOOD) * items)
    assert status is INVALID
    assert detail.field == "items"
    assert_alive(server)


def test_unknown_method_is_unimplemented(server: Server) -> None:
    """A method that the contract lacks has its own status."""
    status, _ = refusal(server, "Decide", GOOD)
    assert status is grpc.StatusCode.UNIMPLEMENTED
    assert_alive(server)


def test_answer_never_holds_what_was_sent_as_payload(server: Server) -> None:
    """Neither a reason nor an error repeats the payload."""
    secret = b"4111111111111111"
    request = good()
    request.questions[:] = [pb.QUESTION_EGRESS]
    request.payload.content = b"card " + secret
    answer = server.call("Check", request.SerializeToString())
    assert secret not in answer
    assert_alive(server)


def test_table_covers_each_reason_a_request_can_meet() -> None:
    """A reason that is added to the contract gets a row here."""
    elsewhere = {"UNSPECIFIED", "NOT_READY", "DEADLINE", "OVERLOADED", "INTERNAL"}
    known = {name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.keys()} - elsewhere  # noqa: SIM118
    assert {reason for _, _, reason, _ in TABLE.values()} == known
