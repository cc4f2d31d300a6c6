"""`pdp health`."""

from __future__ import annotations

from typing import Annotated

import grpc
import typer

from pdp.cli._check import Authorities, Certificate, Key, tls_files
from pdp.cli._output import OUT
from pdp.client import ClientOptions
from pdp.errors import ErrorReason, UnavailableError

_METHOD = "/grpc.health.v1.Health/Check"
_SERVICE = b"pdp.v1.PolicyDecisionService"
# HealthCheckResponse.status = SERVING, as https://grpc.io/docs/guides/health-checking/ numbers it.
_SERVING = b"\x08\x01"


def health(
    *,
    server: Annotated[str, typer.Option("--server", help="Decision point, host:port.")] = "127.0.0.1:7070",
    ca: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Deadline in seconds.")] = 2.0,
) -> None:
    """Asks a decision point whether it decides; for containers and scripts.

    Exit codes: 0 it does, 2 it does not or does not answer.
    """
    options = ClientOptions(tls=tls_files(ca, certificate, key))
    credentials, arguments = options.credentials(), options.channel_arguments()
    channel = (
        grpc.insecure_channel(server, arguments)
        if credentials is None
        else grpc.secure_channel(server, credentials, arguments)
    )
    with channel:
        # The message has one field, so that no generated code is needed: tag 1, length, name.
        question = b"\x0a" + bytes([len(_SERVICE)]) + _SERVICE
        try:
            answer = channel.unary_unary(_METHOD, None, None)(question, timeout=timeout)
        except grpc.RpcError as fault:
            message = f"`{server}` does not answer: {fault.details() or fault.code()}"
            raise UnavailableError(ErrorReason.NOT_READY, "", message) from fault
    if answer != _SERVING:
        raise UnavailableError(ErrorReason.NOT_READY, "", f"`{server}` does not serve decisions now")
    OUT.print("serving")
