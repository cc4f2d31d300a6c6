"""`pdp bench`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from pdp.cli._options import AsJson, ConfigFile, Policies, settings
from pdp.cli._output import OUT, document
from pdp.errors import ConfigError
from pdp.model import Question, request_from_mapping

_CHECK = "/pdp.v1.PolicyDecisionService/Check"
# Fields of an answer: CheckResponse.decision.effect, as the contract numbers them.
_EFFECT = [2, 1]


def bench(
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600, help="Measured time of each load.")
    ] = 3.0,
    connections: Annotated[int, typer.Option("--connections", min=1, max=256, help="Connections.")] = 4,
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, max=256, help="On each connection.")] = 8,
    rate: Annotated[
        float, typer.Option("--rate", min=0, help="Requests a second of an open loop; 0 measures saturation.")
    ] = 0.0,
    policies: Policies = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Measures the sample questions against a server in this process.

    Load and server share this machine's cores: the numbers are a first look. The full
    method, with cores kept apart and peers beside, is in bench/.
    """
    from pdp import _core  # noqa: PLC0415 - other commands must not pay for it
    from pdp.engine import Engine, Server, sample_questions  # noqa: PLC0415

    flags = {"listen": "127.0.0.1:0", "admin_listen": "none", "http_listen": "none"}
    loaded = settings(config, policies=policies, **flags)
    if loaded.config.tls is not None:
        raise ConfigError("tls", "the load generator speaks plaintext; measure without TLS")
    engine = Engine(config=loaded.config)
    reports = {}
    with Server(loaded.config) as server:
        address = server.start().decision
        for question, sample in sample_questions().items():
            if question is Question.RATE_LIMIT:
                # A limit that is used up would turn the right answer over in the middle of a run.
                continue
            message = request_from_mapping({**sample, "questions": [question.value]}).to_proto()
            effect = engine.check(request_from_mapping({**sample, "questions": [question.value]})).effect
            plan = _plan(address, message.SerializeToString(), 1 if effect == "ALLOW" else 2)
            closed = {"closed": {"connections": connections, "in_flight": in_flight}}
            plan["load"] = {"open": {"connections": connections, "rate": rate}} if rate else closed
            plan["duration_seconds"] = seconds
            reports[question.value] = json.loads(_core.run_load(json.dumps(plan)))
    if as_json:
        document(reports)
    else:
        OUT.print(_table(reports))


def _plan(address: str, body: bytes, effect: int) -> dict[str, Any]:
    """What to send, and the answer it must get."""
    return {
        "target": {"protocol": "grpc", "address": address, "path": _CHECK},
        "requests": {"inline": [{"body_hex": body.hex()}]},
        "expectations": [[{"field": {"path": _EFFECT, "number": effect}}]],
        "warm_up_seconds": 0.5,
    }


def _table(reports: dict[str, Any]) -> Table:
    """Rates and latencies."""
    table = Table("question", "answers/s", "p50 us", "p99 us", "p99.9 us", box=None, pad_edge=False)
    for question, report in reports.items():
        latency = report["latency_us"]
        numbers = (report["rps"], latency["p50"], latency["p99"], latency["p999"])
        table.add_row(question, *(f"{number:,.0f}" for number in numbers))
    return table
