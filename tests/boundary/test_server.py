"""A server on real ports: both clients, TLS, reload, drain, ports in use."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pdp import AsyncClient, Client, ClientOptions, TlsFiles, _core
from pdp.config import Config
from pdp.engine import Addresses, Server
from pdp.errors import (
    ConfigError,
    ErrorReason,
    InvalidRequestError,
    ListenError,
    PolicySetError,
    ServerError,
    UnavailableError,
)
from pdp.model import CheckRequest, CountedBy, Decision, LimitSpend, Question, Subject
from pdp.testing import assert_allowed, assert_denied

LOCAL = "127.0.0.1:0"


def config(policies: Path, **settings: Any) -> Config:
    """A configuration on ports of the system's choice."""
    ports = {"listen": LOCAL, "admin_listen": None, "http_listen": None}
    return Config(**{"policies": policies, **ports, "threads": 1, "watch": False, **settings})


def test_client_and_server_agree(pdp_client: Client, ada: CheckRequest) -> None:
    """ALLOW, DENY and the question's own verdict travel whole."""
    assert_allowed(pdp_client.check(ada), by="boundary.access")
    assert_denied(pdp_client.check(dataclasses.replace(ada, subject=Subject("eve"))))


def test_field_path_travels(pdp_client: Client, ada: CheckRequest) -> None:
    """The trailer's detail becomes the same error as in process."""
    with pytest.raises(InvalidRequestError) as caught:
        pdp_client.check(dataclasses.replace(ada, subject=None))
    assert (caught.value.reason, caught.value.field) == (ErrorReason.FIELD_REQUIRED, "subject")


def test_batch_over_the_wire(pdp_client: Client, ada: CheckRequest) -> None:
    """Results keep the items' order."""
    good, bad = pdp_client.check_batch([ada, dataclasses.replace(ada, action="")])
    assert good.unwrap().allowed
    assert bad.failure is not None
    assert bad.failure.field == "items[1].action"


def test_stream_answers_every_request(pdp_client: Client, ada: CheckRequest) -> None:
    """More requests than may be in flight, each answered once, under its id."""
    eve = dataclasses.replace(ada, subject=Subject("eve"))
    requests = [dataclasses.replace(ada if n % 2 else eve, request_id=f"r{n}") for n in range(500)]
    answers = {one.request_id: one.unwrap().allowed for one in pdp_client.stream(requests)}
    assert answers == {f"r{n}": bool(n % 2) for n in range(500)}


def test_asyncio_client_asks_many_at_once(pdp_server: Addresses, ada: CheckRequest) -> None:
    """One connection carries many calls."""

    async def main() -> list[bool]:
        async with AsyncClient(pdp_server.decision, ClientOptions(timeout_seconds=10.0)) as client:
            decisions = await asyncio.gather(*(client.check(ada) for _ in range(50)))
            streamed = [one.unwrap() async for one in client.stream([ada] * 50)]
            return [one.allowed for one in (*decisions, *streamed)]

    assert asyncio.run(main()) == [True] * 100


def test_estimate_is_reported_by_the_decision_s_own_token(policies: Path, ada: CheckRequest) -> None:
    """A token that was changed, or another server's, counts nothing."""
    spend = dataclasses.replace(ada, questions=(Question.RATE_LIMIT,), limit=LimitSpend(report_later=True))
    preview = dataclasses.replace(spend, limit=LimitSpend(preview=True))
    with Server(config(policies)) as server, Client(server.start().decision) as client:
        decision = client.check(spend)
        assert decision.limits[0].remaining == 1
        for _ in range(2):
            (status,) = client.report_usage(decision, hits=0)
            assert (status.name, status.remaining) == ("per-subject", 2)
        (status,) = client.check(preview).limits
        assert (status.remaining, status.counted_by) == (2, CountedBy.MEMORY)
        with Server(config(policies)) as other, Client(other.start().decision) as stranger:
            for token in (decision.usage_token[:-1] + b"?", b"?" * 5000):
                with pytest.raises(InvalidRequestError) as caught:
                    client.report_usage(Decision(effect=decision.effect, usage_token=token))
                assert caught.value.field == "usage_token"
            with pytest.raises(InvalidRequestError):
                stranger.report_usage(decision)


def test_standard_services_answer(pdp_server: Addresses) -> None:
    """Health and reflection work for clients that know nothing of this product."""
    with grpc.insecure_channel(pdp_server.decision) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "pdp.v1.PolicyDecisionService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = list(stub.ServerReflectionInfo(iter([question])))
        names = {one.name for one in answer.list_services_response.service}
        assert "pdp.v1.PolicyDecisionService" in names


def test_probes_and_metrics_answer(pdp_server: Addresses) -> None:
    """Operators' endpoints are on their own listener."""
    for path in ("livez", "readyz", "metrics"):
        with urllib.request.urlopen(f"http://{pdp_server.http}/{path}") as answer:
            assert answer.status == 200
            body = answer.read().decode()
    assert "pdp_" in body


def test_port_in_use_is_one_line(policies: Path) -> None:
    """The address is named, and nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError) as caught:
            Server(config(policies, listen=address)).start()
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faulty_set_does_not_start(policies: Path, edit: Callable[[str, str], None]) -> None:
    """Every fault is in the error."""
    edit("allow if", "allow iff")
    with pytest.raises(PolicySetError, match=r"access\.rego:3"):
        Server(config(policies)).start()


def test_plaintext_off_loopback_needs_consent(policies: Path) -> None:
    """The setting that permits it is named."""
    with pytest.raises(ConfigError, match="allow_plaintext"):
        Server(config(policies, listen="0.0.0.0:0"))


def test_server_starts_once(policies: Path) -> None:
    """A second start would leave the first one without an owner."""
    with Server(config(policies)) as server:
        server.start()
        with pytest.raises(ServerError, match="started before"):
            server.start()


def test_reload_is_seen_by_clients(
    policies: Path, ada: CheckRequest, edit: Callable[[str, str], None]
) -> None:
    """The new revision decides the next request; a faulty set changes nothing."""
    with Server(config(policies)) as server, Client(server.start().decision) as client:
        assert client.check(ada).allowed
        edit('"ada"', '"eve"')
        revision = server.reload()
        decision = client.check(ada)
        assert not decision.allowed
        assert decision.policy_revision == revision
        edit("allow if", "allow iff")
        with pytest.raises(PolicySetError):
            server.reload()
        assert client.check(ada).policy_revision == revision


def test_drained_server_takes_no_calls(policies: Path, ada: CheckRequest) -> None:
    """After the end there is nobody to answer, and the port is free again."""
    server = Server(config(policies))
    address = server.start().decision
    with Client(address, ClientOptions(timeout_seconds=2.0, backoff_seconds=0.001)) as client:
        assert client.check(ada).allowed
        assert not server.wait(0)
        assert server.drain()
        assert server.wait(0)
        with pytest.raises(UnavailableError):
            client.check(ada)
    with Server(config(policies, listen=address)) as again:
        assert again.start().decision == address


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of our own."""
    return trustme.CA()


@pytest.fixture
def pem(tmp_path: Path, authority: trustme.CA) -> Path:
    """Files of the authority, a server and a client."""
    directory = tmp_path / "pem"
    directory.mkdir()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    for name, identity in (("server", "localhost"), ("client", "client@example.org")):
        issued = authority.issue_cert(identity)
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
        for blob in issued.cert_chain_pems:
            blob.write_to_path(directory / f"{name}.pem", append=True)
    return directory


def ask(address: str, tls: TlsFiles | None, request: CheckRequest) -> bool:
    """Whether the server at `address` allows a request."""
    options = ClientOptions(timeout_seconds=5.0, attempts=1, tls=tls)
    with Client(address, options) as client:
        return client.check(request).allowed


def test_tls_from_files(policies: Path, pem: Path, ada: CheckRequest) -> None:
    """A client that trusts the authority is served; one without TLS or trust is not."""
    tls = {"certificate": pem / "server.pem", "key": pem / "server.key"}
    with Server(config(policies, tls=tls)) as server:
        address = server.start().decision
        assert ask(address, TlsFiles(ca=pem / "ca.pem", server_name="localhost"), ada)
        with pytest.raises(UnavailableError):
            ask(address, TlsFiles(server_name="localhost"), ada)
        with pytest.raises(UnavailableError):
            ask(address, None, ada)


def test_mutual_tls_demands_a_certificate(policies: Path, pem: Path, ada: CheckRequest) -> None:
    """Without its own certificate a client does not get in."""
    tls = {"certificate": pem / "server.pem", "key": pem / "server.key", "client_ca": pem / "ca.pem"}
    with Server(config(policies, tls=tls)) as server:
        address = server.start().decision
        mine = TlsFiles(pem / "ca.pem", pem / "client.pem", pem / "client.key", "localhost")
        assert ask(address, mine, ada)
        with pytest.raises(UnavailableError):
            ask(address, TlsFiles(ca=pem / "ca.pem", server_name="localhost"), ada)


def test_unusable_tls_file_is_a_config_error(policies: Path, pem: Path) -> None:
    """The file is named."""
    tls = {"certificate": pem / "server.key", "key": pem / "server.key"}
    with pytest.raises(ConfigError, match=r"server\.key"):
        Server(config(policies, tls=tls)).start()


def test_run_load_measures_only_right_answers(pdp_server: Addresses, ada: CheckRequest) -> None:
    """The generator checks each answer; a wrong one voids the run."""
    body = dataclasses.replace(ada, questions=(Question.ACCESS,)).to_proto().SerializeToString().hex()
    plan = {
        "target": {
            "protocol": "grpc",
            "address": pdp_server.decision,
            "path": "/pdp.v1.PolicyDecisionService/Check",
        },
        "requests": {"inline": [{"body_hex": body}]},
        "expectations": [[{"field": {"path": [2, 1], "number": 1}}]],
        "load": {"closed": {"connections": 1, "in_flight": 2}},
        "duration_seconds": 0.2,
        "warm_up_seconds": 0.0,
    }
    report = json.loads(_core.run_load(json.dumps(plan)))
    assert report["requests"] > 0
    assert report["errors"] == 0
    plan["expectations"] = [[{"field": {"path": [2, 1], "number": 2}}]]
    with pytest.raises(ServerError, match="answered wrongly"):
        _core.run_load(json.dumps(plan))
    with pytest.raises(ConfigError, match="load"):
        _core.run_load("{}")
