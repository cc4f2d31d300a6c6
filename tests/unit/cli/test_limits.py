"""`pdp limits inspect|reset|top` against a scripted admin service."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pdp._proto import admin_pb2 as pb
from pdp._proto import decision_pb2
from pdp.cli import ExitCode, main

STATUS = decision_pb2.LimitStatus(
    policy_id="shop.limits",
    name="per-tenant",
    limit=100,
    remaining=40,
    reset_after=Duration(seconds=30),
    admitted=True,
    counted_by=decision_pb2.COUNTED_BY_LEASE,
    overshoot=15,
)
FULL = decision_pb2.LimitStatus(
    policy_id="shop.limits", name="per-tenant", limit=100, retry_after=Duration(nanos=500_000_000)
)
TALKERS = pb.GetTopTalkersResponse(
    since=Timestamp(seconds=1_800_000_000),
    talkers=[
        pb.TopTalker(kind="tenant", name="acme", requests=1_234, error=34, refused=7),
        pb.TopTalker(kind="tenant", name="[bold]globex[/bold]", requests=5),
        pb.TopTalker(kind="network", name="192.0.2.0/24", requests=9),
    ],
)


@dataclass
class AdminScript:
    """What the service answers, and what it was asked."""

    status: decision_pb2.LimitStatus = field(default_factory=lambda: STATUS)
    talkers: pb.GetTopTalkersResponse = field(default_factory=lambda: TALKERS)
    existed: bool = True
    refusal: tuple[grpc.StatusCode, decision_pb2.ErrorDetail] | None = None
    seen: list[Any] = field(default_factory=list)
    target: str = ""

    def answer(self, answer: Any) -> Any:
        """A handler that gives `answer`, or what the script says instead."""

        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            self.seen.append(request)
            if self.refusal is not None:
                code, detail = self.refusal
                context.set_trailing_metadata((("pdp-error-bin", detail.SerializeToString()),))
                context.abort(code, "scripted")
            return answer()

        return handle


@pytest.fixture
def script() -> Iterator[AdminScript]:
    """A running service that answers everything until told otherwise."""
    script = AdminScript()
    unary = grpc.unary_unary_rpc_method_handler

    def method(answer: Any, request: Any, response: Any) -> Any:
        return unary(script.answer(answer), request.FromString, response.SerializeToString)

    handlers = {
        "InspectLimit": method(
            lambda: pb.InspectLimitResponse(status=script.status),
            pb.InspectLimitRequest,
            pb.InspectLimitResponse,
        ),
        "ResetLimit": method(
            lambda: pb.ResetLimitResponse(existed=script.existed), pb.ResetLimitRequest, pb.ResetLimitResponse
        ),
        "GetTopTalkers": method(lambda: script.talkers, pb.GetTopTalkersRequest, pb.GetTopTalkersResponse),
    }
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("pdp.v1.AdminService", handlers),)
        )
        script.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield script
        server.stop(None).wait()


@pytest.fixture
def run(script: AdminScript, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `pdp limits ...` here; gives the exit code and what was printed."""

    def run(*arguments: str, answer: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["pdp", "limits", *arguments, "--admin", script.target])
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


COUNTER = (
    "--policy",
    "shop.limits",
    "--limit",
    "per-tenant",
    "--tenant",
    "acme",
    "--key",
    "a",
    "--key",
    "b c",
)


def test_inspect_names_the_counter_and_says_how_it_stands(run: Any, script: AdminScript) -> None:
    """Every part of the key arrives, in order."""
    code, out, _ = run("inspect", *COUNTER)
    assert code == ExitCode.OK
    assert "shop.limits/per-tenant of tenant `acme` under `a`, `b c`" in out
    assert "40 of 100 left, full again in 30 s" in out
    assert "counted by lease, at most 15 above the limit in all nodes" in out
    counter = script.seen[0].counter
    assert (counter.policy_id, counter.limit, counter.tenant) == ("shop.limits", "per-tenant", "acme")
    assert list(counter.key) == ["a", "b c"]


def test_inspect_says_when_the_next_hit_is_admitted(run: Any, script: AdminScript) -> None:
    """A full limit is not only a number."""
    script.status = FULL
    _, out, _ = run("inspect", *COUNTER)
    assert "the next hit is refused; one is admitted in 0.5 s" in out


def test_inspect_as_json_has_units(run: Any) -> None:
    """For scripts."""
    _, out, _ = run("inspect", *COUNTER, "--json")
    assert json.loads(out) == {
        "policy_id": "shop.limits",
        "name": "per-tenant",
        "limit": 100,
        "remaining": 40,
        "reset_after_seconds": 30.0,
        "retry_after_seconds": None,
        "admitted": True,
        "counted_by": "lease",
        "overshoot": 15,
    }


@pytest.mark.parametrize("command", ["inspect", "reset"])
def test_unknown_limit_is_one_line_with_the_field(run: Any, script: AdminScript, command: str) -> None:
    """What the service refuses is said in its words."""
    detail = decision_pb2.ErrorDetail(
        reason=decision_pb2.ERROR_REASON_POLICY_UNKNOWN, field="counter.limit", message="there is `per-day`"
    )
    script.refusal = (grpc.StatusCode.NOT_FOUND, detail)
    code, out, err = run(command, *COUNTER, *(["--yes"] if command == "reset" else []))
    assert (code, out) == (ExitCode.ERROR, "")
    assert err == "pdp: counter.limit: there is `per-day`\n"


def test_reset_asks_first(run: Any, script: AdminScript) -> None:
    """Only a yes resets."""
    code, out, _ = run("reset", *COUNTER, answer="n\n")
    assert code == ExitCode.ERROR
    assert "nothing was reset" in out
    assert script.seen == []
    code, out, _ = run("reset", *COUNTER, answer="y\n")
    assert code == ExitCode.OK
    assert out.endswith("under `a`, `b c`: reset\n")
    assert list(script.seen[0].counter.key) == ["a", "b c"]


def test_reset_that_nobody_confirms_resets_nothing(run: Any, script: AdminScript) -> None:
    """A script must say `--yes`."""
    code, _, err = run("reset", *COUNTER)
    assert code == ExitCode.CONFIG
    assert "write `--yes`" in err
    assert script.seen == []


def test_reset_of_nothing_says_so(run: Any, script: AdminScript) -> None:
    """That nothing was counted is no fault."""
    script.existed = False
    assert run("reset", *COUNTER, "--yes") == (
        ExitCode.OK,
        "shop.limits/per-tenant of tenant `acme` under `a`, `b c`: nothing was counted\n",
        "",
    )
    _, out, _ = run("reset", *COUNTER, "--yes", "--json")
    assert json.loads(out) == {"existed": False}


def test_top_shows_bounds_and_never_reads_a_name_as_markup(run: Any, script: AdminScript) -> None:
    """Names may hold what a caller sent."""
    code, out, _ = run("top", "--most", "3")
    assert code == ExitCode.OK
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "kind name requests at least refused",
        "tenant acme 1,234 1,200 7",
        "[bold]globex[/bold] 5 5 0",
        "network 192.0.2.0/24 9 9 0",
    ]
    assert script.seen[0].most == 3


def test_top_as_json(run: Any) -> None:
    """All that the service says."""
    _, out, _ = run("top", "--json")
    answer = json.loads(out)
    assert answer["since"] == "2027-01-15T08:00:00+00:00"
    assert answer["talkers"][0] == {
        "kind": "tenant",
        "name": "acme",
        "requests": 1234,
        "error": 34,
        "refused": 7,
    }


def test_top_of_nobody_says_so(run: Any, script: AdminScript) -> None:
    """An empty table would look broken."""
    script.talkers = pb.GetTopTalkersResponse()
    assert "nobody has asked lately" in run("top")[1]


def test_top_refreshes_until_interrupted(
    run: Any, script: AdminScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refresh asks anew."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("pdp.cli._limits_counters.time.sleep", sleep)
    code, out, _ = run("top", "--watch", "--interval", "0.5")
    assert code == ExitCode.INTERRUPTED
    assert waits == [0.5] * 3
    assert len(script.seen) == 3
    assert "acme" in out


def test_watching_json_is_refused(run: Any, script: AdminScript) -> None:
    """A stream of tables is not a document."""
    code, _, err = run("top", "--watch", "--json")
    assert code == ExitCode.CONFIG
    assert "leave out `--json`" in err
    assert script.seen == []


@pytest.mark.parametrize("arguments", [("--most", "0"), ("--most", "101"), ("--interval", "0")])
def test_numbers_out_of_range_are_refused_here(
    run: Any, script: AdminScript, arguments: tuple[str, ...]
) -> None:
    """Nothing is asked."""
    code, _, err = run("top", *arguments)
    assert code == ExitCode.ERROR
    assert arguments[0] in err
    assert script.seen == []


def test_a_store_that_is_away_is_not_taken_for_a_service_that_is(run: Any, script: AdminScript) -> None:
    """The service answered, and its own words say what is wrong."""
    words = "the shared state store did not answer"
    detail = decision_pb2.ErrorDetail(reason=decision_pb2.ERROR_REASON_NOT_READY, message=words)
    script.refusal = (grpc.StatusCode.UNAVAILABLE, detail)
    code, _, err = run("top")
    assert code == ExitCode.ERROR
    assert words in err
    assert "no admin service" not in err


def test_nobody_there_names_the_address_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line."""
    monkeypatch.setattr("sys.argv", ["pdp", "limits", "top", "--admin", "127.0.0.1:1", "--timeout", "5"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == ExitCode.ERROR
    err = capsys.readouterr().err
    assert err.startswith("pdp: no admin service answers at `127.0.0.1:1`: start `pdp serve`")
    assert err.count("\n") == 1
