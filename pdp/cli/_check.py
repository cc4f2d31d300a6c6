"""`pdp check`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from pdp.cli._exit import ExitCode
from pdp.cli._options import AsJson, ConfigFile, Policies, settings
from pdp.cli._output import OUT, document
from pdp.client import Client, ClientOptions, TlsFiles
from pdp.errors import ConfigError, DocumentError
from pdp.model import CheckRequest, Decision, request_from_mapping

if TYPE_CHECKING:
    from pdp.model import Reason


Authorities = Annotated[
    Path | None,
    typer.Option("--ca", show_default=False, help="Authorities of the server, PEM; turns TLS on."),
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", show_default=False, help="The client's own certificate, PEM.")
]
Key = Annotated[Path | None, typer.Option("--key", show_default=False, help="The client's private key, PEM.")]


class Asked(StrEnum):
    """What the command asks; `all` is what the document itself names."""

    ACCESS = "access"
    SEGMENTATION = "segmentation"
    EGRESS = "egress"
    RATE_LIMIT = "rate-limit"
    ALL = "all"


def check(
    asked: Annotated[
        Asked, typer.Argument(metavar="QUESTION", help="One question, or `all` those the document names.")
    ],
    *,
    file: Annotated[
        str, typer.Option("--input", help="JSON or YAML document of the request; `-` is standard input.")
    ],
    server: Annotated[
        str, typer.Option("--server", show_default=False, help="Ask the decision point at host:port.")
    ] = "",
    ca: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Deadline in seconds.")] = 5.0,
    policies: Policies = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Answers one request, by a running decision point or in this process.

    Exit codes: 0 allowed, 3 denied, 2 no answer.
    """
    request = _request(asked, file)
    if server:
        options = ClientOptions(timeout_seconds=timeout, tls=tls_files(ca, certificate, key))
        with Client(server, options) as client:
            decision = client.check(request)
    else:
        from pdp.engine import Engine  # noqa: PLC0415 - asking a server needs no core

        loaded = settings(config, policies=policies)
        decision = Engine(config=loaded.config).check(request)
    if as_json:
        document(decision.to_mapping())
    else:
        _print(decision)
    raise typer.Exit(ExitCode.OK if decision.allowed else ExitCode.DENY)


def tls_files(ca: Path | None, certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """Files of a TLS connection; without authorities the connection is plaintext."""
    if ca is not None:
        return TlsFiles(ca, certificate, key)
    if certificate is not None or key is not None:
        raise ConfigError("ca", "a client certificate needs TLS; name the server's authorities with `--ca`")
    return None


def _request(asked: Asked, file: str) -> CheckRequest:
    """The request in a document, with the question that the command names."""
    where = "standard input" if file == "-" else f"`{file}`"
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        content: Any = yaml.safe_load(text)
    except OSError as fault:
        raise DocumentError("", f"cannot read {where}: {fault.strerror}; name a JSON or YAML file") from fault
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as fault:
        sentence = " ".join(str(fault).split())
        raise DocumentError("", f"{where} is neither JSON nor YAML: {sentence}") from fault
    if asked is not Asked.ALL and isinstance(content, dict):
        content = {**content, "questions": [asked.value]}
    try:
        return request_from_mapping(content)
    except DocumentError as fault:
        raise DocumentError(fault.path, f"{fault.message} (in {where})") from fault


def _print(decision: Decision) -> None:
    """The decision for a person."""
    OUT.print(str(decision.effect), style="bold green" if decision.allowed else "bold red")
    for verdict in decision.verdicts:
        state = "" if verdict.evaluated else " (not evaluated)"
        OUT.print(f"{verdict.question}: {verdict.effect}{state}")
        for reason in verdict.reasons:
            OUT.print(f"  {_reason(reason)}")
    for limit in decision.limits:
        retry = f", retry after {limit.retry_after.total_seconds():g} s" if limit.retry_after else ""
        OUT.print(f"limit {limit.policy_id}/{limit.name}: {limit.remaining} of {limit.limit} left{retry}")
    for finding in decision.findings:
        span = f"bytes {finding.start} to {finding.end}"
        OUT.print(f"finding {finding.detector} ({finding.category}), {span}: {finding.action}")
    for obligation in decision.obligations:
        OUT.print(f"obligation {obligation.type} ({obligation.policy_id}): {dict(obligation.parameters)}")
    if decision.masked_payload is not None:
        OUT.print(f"masked payload: {decision.masked_payload.decode('utf-8', 'replace')}")
    for shadow in decision.shadow:
        OUT.print(f"shadow {shadow.policy_id}: would {shadow.effect}")
    OUT.print(f"decision {decision.decision_id}, revision {decision.policy_revision}", style="dim")


def _reason(reason: Reason) -> str:
    """A reason in one line: codes, policy, message."""
    codes = "/".join(part for part in (str(reason.code), reason.detail_code) if part)
    return "  ".join(part for part in (codes, reason.policy_id, reason.message) if part)
