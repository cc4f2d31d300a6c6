"""How a client connects: target, TLS, keep-alive, deadline, retries."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import grpc

from pdp.errors import ConfigError


class Priority(StrEnum):
    """How much a client's calls matter; an overloaded decision point refuses the others first."""

    CRITICAL = "critical"
    DEFAULT = "default"
    SHEDDABLE = "sheddable"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a TLS connection.

    Attributes:
        ca: Certificates that the server's one must chain to; None means the system's.
        certificate: The client's own certificate chain, for mutual TLS.
        key: The client's private key; given together with `certificate`.
        server_name: Name to expect in the server's certificate, where it differs from the target's host.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What a client does besides asking.

    Attributes:
        timeout_seconds: Deadline of one call with all its retries.
        attempts: How often a safe call is tried while the server is UNAVAILABLE.
        backoff_seconds: Longest wait before the first retry; doubles with each further one.
        keep_alive_seconds: Interval of keep-alive pings on an idle connection.
        max_message_bytes: Largest answer accepted.
        priority: How much the calls matter when the decision point is overloaded.
        tls: TLS files; None means plaintext.
    """

    timeout_seconds: float = 1.0
    attempts: int = 3
    backoff_seconds: float = 0.02
    keep_alive_seconds: float = 30.0
    max_message_bytes: int = 16 * 1024 * 1024
    priority: Priority = Priority.DEFAULT
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        """Refuses values that no call could work with."""
        if not self.timeout_seconds > 0:
            raise ConfigError("timeout_seconds", f"`{self.timeout_seconds}` must be above 0")
        if self.attempts < 1:
            raise ConfigError("attempts", f"`{self.attempts}` must be 1 or more")

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of each call; what is the default anyway is not sent."""
        return () if self.priority is Priority.DEFAULT else (("pdp-priority", self.priority.value),)

    def channel_arguments(self) -> list[tuple[str, int | str]]:
        """Arguments of the gRPC channel."""
        arguments: list[tuple[str, int | str]] = [
            # gRPC's own retries know nothing of counters; the client decides itself what is safe.
            ("grpc.enable_retries", 0),
            ("grpc.keepalive_time_ms", int(self.keep_alive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # Each client owns its connection: a shared one would survive a fork in both processes.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self.tls is not None and self.tls.server_name:
            arguments.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return arguments

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Credentials read from the TLS files now; None means plaintext.

        Raises:
            ConfigError: When a file cannot be read, or only one of certificate and key is given.
        """
        tls = self.tls
        if tls is None:
            return None
        if (tls.certificate is None) != (tls.key is None):
            raise ConfigError("tls", "`certificate` and `key` belong together; give both or neither")
        return grpc.ssl_channel_credentials(
            root_certificates=_read("tls.ca", tls.ca),
            private_key=_read("tls.key", tls.key),
            certificate_chain=_read("tls.certificate", tls.certificate),
        )


def _read(key: str, path: str | os.PathLike[str] | None) -> bytes | None:
    """Contents of a PEM file."""
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        raise ConfigError(key, f"cannot read `{path}`: {fault.strerror}") from fault
