"""Envoy's rate limit service, asked as Envoy asks it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pdp import Client
from pdp.engine import Addresses
from pdp.errors import RequestError
from pdp.model import CheckRequest, LimitSpend, Question

SERVICE = "envoy.service.ratelimit.v3.RateLimitService"
# Sliding windows: no hour that turns meanwhile empties them.
LIMITS = """domain: edge
limits:
  - {name: user, descriptor: [{key: user}], algorithm: sliding_window, limit: 3, window: 1d}
  - {name: path, descriptor: [{key: path}], algorithm: sliding_window, limit: 2, window: 1h}
  - name: gold
    descriptor: [{key: tier, value: gold*, share_threshold: true}]
    algorithm: gcra
    limit: 2
    window: 5m
  - {name: vip, descriptor: [{key: user, value: vip}], unlimited: true}
  - name: trial
    descriptor: [{key: trial}]
    algorithm: sliding_window
    limit: 1
    window: 1h
    shadow: true
  - name: login
    descriptor: [{key: user}, {key: path, value: /login}]
    algorithm: sliding_window
    limit: 1
    window: 30d
    replaces: [user]
"""
FAILING = """domain: failing
limits:
  - {name: broken, descriptor: [{key: k}], algorithm: gcra, limit: 9, window: 1h, cost: "limit.hits / 0"}
"""
MANIFEST = """version: 1
policies:
  - {id: edge.limits, kind: rate_limit, engine: limits, source: edge.yaml}
  - {id: failing.limits, kind: rate_limit, engine: limits, source: failing.yaml}
"""

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def pdp_policies(tmp_path: Path) -> Path:
    """Limits of two domains."""
    for name, text in (("manifest.yaml", MANIFEST), ("edge.yaml", LIMITS), ("failing.yaml", FAILING)):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def ask(pdp_server: Addresses, rate_limit_service: Any) -> Ask:
    """Asks about descriptors, each a list of `key=value`."""

    def asked(*descriptors: str | dict[str, Any], domain: str = "edge", **rest: Any) -> dict[str, Any]:
        request_id = rest.pop("request_id", "")
        sets = [one if isinstance(one, dict) else descriptor(one) for one in descriptors]
        document = {"domain": domain, "descriptors": sets, **rest}
        answer = rate_limit_service.ask(pdp_server.decision, document, request_id)
        assert isinstance(answer, dict)
        return answer

    return asked


def descriptor(text: str, **rest: Any) -> dict[str, Any]:
    """A descriptor from `key=value key=value`."""
    pairs = [one.partition("=") for one in text.split()]
    return {"entries": [{"key": key, "value": value} for key, _, value in pairs], **rest}


def codes(answer: dict[str, Any]) -> list[str]:
    """The overall code, then each descriptor's."""
    return [answer["overall_code"], *(one["code"] for one in answer["statuses"])]


def headers(answer: dict[str, Any]) -> dict[str, str]:
    """Headers for the caller, each of which stands once."""
    found = {one["key"]: one["value"] for one in answer.get("response_headers_to_add", ())}
    assert len(found) == len(answer.get("response_headers_to_add", ()))
    return found


def test_limit_is_counted_down_and_then_refuses(ask: Ask) -> None:
    """Code, limit, rest and reset come with each answer; headers say them to the caller."""
    first, *_, last = [ask("user=ada") for _ in range(4)]
    (status,) = first["statuses"]
    assert codes(first) == ["OK", "OK"]
    assert status["current_limit"] == {"requests_per_unit": 3, "unit": "DAY", "name": "user"}
    assert status["limit_remaining"] == 2
    assert 0 < float(status["duration_until_reset"].rstrip("s")) <= 2 * 86_400
    assert headers(first)["x-ratelimit-limit"] == "3, 3;w=86400"
    assert headers(first)["x-ratelimit-remaining"] == "2"
    assert "retry-after" not in headers(first)
    assert codes(last) == ["OVER_LIMIT", "OVER_LIMIT"]
    assert headers(last)["x-ratelimit-remaining"] == "0"
    assert int(headers(last)["retry-after"]) > 0
    assert int(headers(last)["x-ratelimit-reset"]) > 0


def test_answer_names_its_decision_and_why_it_refused(ask: Ask, pdp_server: Addresses) -> None:
    """Logs behind Envoy can tell which decision of which revision it was."""
    allowed, _, refused = [ask("path=/a") for _ in range(3)]
    assert uuid.UUID(allowed["dynamic_metadata"]["decision_id"]).version == 7
    assert "reasons" not in allowed["dynamic_metadata"]
    (reason,) = refused["dynamic_metadata"]["reasons"]
    assert (reason["code"], reason["policy_id"]) == ("RATE_LIMITED", "edge.limits")
    assert reason["detail_code"] == "path"
    with Client(pdp_server.decision) as client:
        decision = client.check(CheckRequest(questions=(Question.RATE_LIMIT,)))
    assert refused["dynamic_metadata"]["policy_revision"] == decision.policy_revision


def test_descriptors_of_one_request_are_spent_together_or_not_at_all(ask: Ask) -> None:
    """A request that one limit refuses costs the others nothing, and each says how it stands."""
    for _ in range(2):
        assert codes(ask("path=/b")) == ["OK", "OK"]
    for _ in range(5):
        answer = ask("user=bob", "path=/b")
        assert codes(answer) == ["OVER_LIMIT", "OK", "OVER_LIMIT"]
        assert answer["statuses"][0]["limit_remaining"] == 3
    assert ask("user=bob")["statuses"][0]["limit_remaining"] == 2


def test_headers_are_those_of_the_tightest_limit(ask: Ask) -> None:
    """Who has two limits is told of the one that ends first."""
    answer = ask("user=cleo", "path=/c")
    assert headers(answer)["x-ratelimit-limit"] == "2, 2;w=3600"
    assert headers(answer)["x-ratelimit-remaining"] == "1"


def test_descriptor_that_matches_nothing_is_ok_without_a_limit(ask: Ask) -> None:
    """As the protocol has it; so is a domain that no policy answers."""
    assert ask("other=x")["statuses"] == [{"code": "OK"}]
    assert ask("user=x deeper=y")["statuses"] == [{"code": "OK"}]
    unknown = ask("user=x", domain="nobody")
    assert codes(unknown) == ["OK", "OK"]
    assert unknown["dynamic_metadata"]["limits"] == 0
    assert headers(unknown) == {}


def test_unlimited_descriptor_never_runs_out(ask: Ask) -> None:
    """It says the largest number there is."""
    for _ in range(6):
        answer = ask("user=vip")
        assert answer["statuses"] == [{"code": "OK", "limit_remaining": 4294967295}]
    assert headers(answer) == {}


def test_shadowed_limit_counts_and_never_refuses(ask: Ask) -> None:
    """What it would have refused is told beside the answer."""
    answers = [ask("trial=a") for _ in range(3)]
    assert [codes(one) for one in answers] == [["OK", "OK"]] * 3
    assert [one["dynamic_metadata"].get("shadow_over_limit") for one in answers] == [
        None,
        ["trial"],
        ["trial"],
    ]
    assert headers(answers[-1]) == {}


def test_limit_that_is_replaced_is_not_spent(ask: Ask) -> None:
    """Only where the one that replaces it matches too."""
    answer = ask("user=dan", "user=dan path=/login")
    assert answer["statuses"][0] == {"code": "OK"}
    assert answer["statuses"][1]["current_limit"] == {
        "name": "login",
        "requests_per_unit": 1,
        "unit": "MONTH",
    }
    assert ask("user=dan")["statuses"][0]["limit_remaining"] == 2


def test_values_that_share_a_threshold_count_together(ask: Ask) -> None:
    """A window that is no unit says so, and keeps the count as configured."""
    first, second, third = ask("tier=gold-a"), ask("tier=gold-b"), ask("tier=gold-c")
    assert [one["overall_code"] for one in (first, second, third)] == ["OK", "OK", "OVER_LIMIT"]
    assert first["statuses"][0]["current_limit"] == {"requests_per_unit": 2, "name": "gold"}
    assert headers(first)["x-ratelimit-limit"] == "2, 2;w=300"


def test_hits_are_the_requests_or_the_descriptors_own(ask: Ask) -> None:
    """0 of the request is 1; 0 of a descriptor only reads."""
    assert ask("user=eve", hits_addend=0)["statuses"][0]["limit_remaining"] == 2
    own = [descriptor("user=eve", hits_addend=0), descriptor("path=/e", hits_addend=2)]
    answer = ask(*own, hits_addend=7)
    assert [one.get("limit_remaining", 0) for one in answer["statuses"]] == [2, 0]
    assert codes(ask("user=eve", hits_addend=3)) == ["OVER_LIMIT", "OVER_LIMIT"]
    assert codes(ask("user=eve", hits_addend=2)) == ["OK", "OK"]


def test_limit_that_a_descriptor_brings_replaces_the_configured_one(ask: Ask) -> None:
    """Whether or not one is configured; 0 requests admit nothing."""
    for text in ("user=fay", "new=x"):
        own = descriptor(text, limit={"requests_per_unit": 1, "unit": "DAY"})
        first, second = ask(own), ask(own)
        assert first["statuses"][0]["current_limit"] == {
            "name": "override",
            "requests_per_unit": 1,
            "unit": "DAY",
        }
        assert codes(second) == ["OVER_LIMIT", "OVER_LIMIT"]
    assert ask("user=fay")["statuses"][0]["limit_remaining"] == 2
    none = descriptor("user=gus", limit={"requests_per_unit": 0, "unit": "HOUR"})
    assert codes(ask(none)) == ["OVER_LIMIT", "OVER_LIMIT"]


def test_request_that_comes_twice_spends_once(ask: Ask) -> None:
    """Envoy may call again for one HTTP request; its id says so. Another id, or none, spends."""
    assert [ask("user=hal", request_id="r-1")["statuses"][0]["limit_remaining"] for _ in range(3)] == [
        2,
        2,
        2,
    ]
    assert ask("user=hal", request_id="r-2")["statuses"][0]["limit_remaining"] == 1
    # An id of a form that no request has is none; the call is answered all the same.
    assert "limit_remaining" not in ask("user=hal", request_id="two words")["statuses"][0]


def test_policy_that_fails_refuses_with_its_reason(ask: Ask) -> None:
    """An error never becomes an allow, and is told apart from a limit that is used up."""
    answer = ask("k=v", domain="failing")
    assert answer["overall_code"] == "OVER_LIMIT"
    (reason,) = answer["dynamic_metadata"]["reasons"]
    assert reason["code"] == "LIMIT_COST_INVALID"
    assert "retry-after" not in headers(answer)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no domain": ({"descriptors": [descriptor("user=x")]}, "`domain`: must not be empty"),
    "no descriptor": ({"domain": "edge"}, "`descriptors`: send at least one"),
    "no entry": ({"domain": "edge", "descriptors": [{}]}, "`descriptors[0].entries`: send at least one"),
    "no key": (
        {"domain": "edge", "descriptors": [descriptor("user=x"), descriptor("=x")]},
        "`descriptors[1].entries[0].key`: must not be empty",
    ),
    "domain too long": (
        {"domain": "d" * 257, "descriptors": [descriptor("user=x")]},
        "`domain`: has 257 bytes",
    ),
    "too many descriptors": (
        {"domain": "edge", "descriptors": [descriptor("user=x")] * 65},
        "`descriptors`: has 65 entries; at most 64",
    ),
    "too many entries": (
        {"domain": "edge", "descriptors": [descriptor("user=x " * 33)]},
        "`descriptors[0].entries`: has 33 entries; at most 32",
    ),
    "value too long": (
        {"domain": "edge", "descriptors": [descriptor("user=" + "x" * 4097)]},
        "`descriptors[0].entries[0].value`: has 4097 bytes; at most 4096",
    ),
    "hits of the request": (
        {"domain": "edge", "descriptors": [descriptor("user=x")], "hits_addend": 2**32 - 1},
        "`hits_addend`: is 4294967295",
    ),
    "hits of a descriptor": (
        {"domain": "edge", "descriptors": [descriptor("user=x", hits_addend=2**64 - 1)]},
        "`descriptors[0].hits_addend`: is 18446744073709551615",
    ),
    "hits to give back": (
        {"domain": "edge", "descriptors": [descriptor("user=x", is_negative_hits=True)]},
        "`descriptors[0].is_negative_hits`",
    ),
    "unit of a brought limit": (
        {"domain": "edge", "descriptors": [descriptor("user=x", limit={"requests_per_unit": 1})]},
        "`descriptors[0].limit.unit`: `0` is no unit",
    ),
}


@pytest.mark.parametrize(("document", "message"), BAD.values(), ids=BAD)
def test_bad_request_is_an_error_with_its_field_and_counts_nothing(
    ask: Ask, pdp_server: Addresses, rate_limit_service: Any, document: dict[str, Any], message: str
) -> None:
    """What cannot be read is neither an allow nor a deny."""
    with pytest.raises(grpc.RpcError) as caught:
        rate_limit_service.ask(pdp_server.decision, document)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(message)
    assert ask("user=x")["statuses"][0]["limit_remaining"] == 2


def test_key_that_is_too_long_to_count_refuses(ask: Ask) -> None:
    """What cannot be counted is not let through."""
    answer = ask("user=" + "x" * 4096)
    assert answer["overall_code"] == "OVER_LIMIT"
    assert answer["dynamic_metadata"]["reasons"][0]["code"] == "LIMIT_KEY_MISSING"


def test_keys_are_told_apart_whatever_they_hold(ask: Ask) -> None:
    """Braces, line breaks and separators of any kind belong to the value."""
    odd = ["a", "a;", "1:a;", "{a}", "a\n", "a\u2028", "_a", "\x00a"]
    for value in odd:
        one = {"entries": [{"key": "user", "value": value}]}
        assert ask(one)["statuses"][0]["limit_remaining"] == 2, repr(value)


def test_bytes_that_are_no_request_are_refused(pdp_server: Addresses) -> None:
    """The call ends with a status; the next one is answered."""
    with grpc.insecure_channel(pdp_server.decision) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ShouldRateLimit")
        for bad in (b"\xff" * 9, b"\x0a\x7fcut"):
            with pytest.raises(grpc.RpcError) as caught:
                call(bad, timeout=10.0)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{SERVICE}/Other")(b"", timeout=10.0)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_own_questions_do_not_meet_limits_of_a_domain(pdp_server: Addresses, ask: Ask) -> None:
    """A domain answers Envoy's service and nothing else."""
    with Client(pdp_server.decision) as client:
        request = CheckRequest(
            questions=(Question.RATE_LIMIT,), limit=LimitSpend(descriptors={"user": "ivy"})
        )
        try:
            assert not client.check(request).allowed
        except RequestError as error:
            pytest.fail(str(error))
    assert ask("user=ivy")["statuses"][0]["limit_remaining"] == 2


def test_reflection_describes_the_service(pdp_server: Addresses) -> None:
    """Tools that know nothing of Envoy can call it."""
    with grpc.insecure_channel(pdp_server.decision) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
            reflection_pb2.ServerReflectionRequest(file_by_filename="envoy/config/core/v3/base.proto"),
        ]
        listed, *described = list(stub.ServerReflectionInfo(iter(questions), timeout=10.0))
    assert SERVICE in {one.name for one in listed.list_services_response.service}
    assert all(one.file_descriptor_response.file_descriptor_proto for one in described)
