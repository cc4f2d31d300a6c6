"""The settings: default, unit, range, meaning and visibility of each."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENVIRONMENT_PREFIX = "PDP_"
NESTING = "__"


class Visibility(StrEnum):
    """Who may see a setting."""

    VISIBLE = "visible"
    SENSITIVE = "sensitive"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Unit:
    """Unit of a setting's value."""

    name: str


class LogFormat(StrEnum):
    """Form of log lines."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _address(text: str) -> str:
    """Refuses a text that is not `address:port`."""
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError as fault:
        raise ValueError("write an address and a port, as in `127.0.0.1:7070` or `[::1]:7070`") from fault
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004 - highest port
        raise ValueError("write a port from 0 to 65535 after the last colon")
    return text


def _absent(value: Any) -> Any:
    """Reads an empty text or `none` as nothing, since the environment has no other word for it."""
    return None if value in ("", "none") else value


Address = Annotated[str, AfterValidator(_address)]
OptionalAddress = Annotated[Address | None, BeforeValidator(_absent)]


class _Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsConfig(_Section):
    """TLS of the decision service."""

    certificate: Annotated[Path, Field(description="Certificate chain, leaf first; a PEM file.")]
    key: Annotated[Path, Field(description="Private key; a PEM file."), Visibility.SENSITIVE]
    client_ca: Annotated[
        Path | None,
        Field(description="Authorities of client certificates, PEM; when set, a client must present one."),
    ] = None


class EvaluationConfig(_Section):
    """What one policy evaluation may use; a manifest entry may lower it."""

    time_ms: Annotated[int, Unit("milliseconds"), Field(ge=1, le=60_000, description="Wall time.")] = 50
    instructions: Annotated[
        int, Unit("steps"), Field(ge=100, le=1_000_000_000_000, description="Steps of the policy machine.")
    ] = 1_000_000
    memory_bytes: Annotated[
        int, Unit("bytes"), Field(ge=65_536, le=1 << 40, description="Values a policy makes.")
    ] = 64 << 20


class StateConfig(_Section):
    """Where counters and facts are kept."""

    redis_url: Annotated[
        str | None,
        BeforeValidator(_absent),
        Unit("URL"),
        Field(
            repr=False,
            description="Redis or Valkey server, as in `redis://host:6379`, `rediss://` for TLS; servers of a"
            " Cluster, as in `redis+cluster://one:6379,two:6379`; none keeps state in this process.",
        ),
        Visibility.SENSITIVE,
    ] = None
    username: Annotated[
        str | None, BeforeValidator(_absent), Unit("text"), Field(description="ACL user of the server.")
    ] = None
    password: Annotated[
        str | None,
        BeforeValidator(_absent),
        Unit("text"),
        Field(repr=False, description="Password of the user; better a file."),
        Visibility.SENSITIVE,
    ] = None
    password_file: Annotated[
        Path | None,
        BeforeValidator(_absent),
        Field(description="File that holds the password."),
        Visibility.SENSITIVE,
    ] = None
    tls_ca: Annotated[
        Path | None,
        BeforeValidator(_absent),
        Field(description="Authorities of the server's certificate, PEM; none is the system's."),
    ] = None
    tls_certificate: Annotated[
        Path | None, BeforeValidator(_absent), Field(description="This node's certificate chain, PEM.")
    ] = None
    tls_key: Annotated[
        Path | None,
        BeforeValidator(_absent),
        Field(description="This node's private key, PEM."),
        Visibility.SENSITIVE,
    ] = None
    timeout_ms: Annotated[
        int, Unit("milliseconds"), Field(ge=1, le=10_000, description="Wait for one answer of the server.")
    ] = 100
    connect_timeout_ms: Annotated[
        int, Unit("milliseconds"), Field(ge=1, le=30_000, description="Wait for a connection to the server.")
    ] = 1_000
    replay_window_ms: Annotated[
        int,
        Unit("milliseconds"),
        Field(ge=1_000, le=3_600_000, description="How long a request id spends a limit once."),
    ] = 60_000
    key_secret_file: Annotated[
        Path | None,
        BeforeValidator(_absent),
        Field(
            description="File with at least 16 random bytes in hex or base64, for keys of the store and usage"
            " tokens: nodes that share a store share it."
        ),
        Visibility.SENSITIVE,
    ] = None
    max_keys: Annotated[
        int, Field(ge=1_000, le=100_000_000, description="Counters held in memory, without a server.")
    ] = 1_000_000
    facts_cache_bytes: Annotated[
        int, Unit("bytes"), Field(ge=0, le=16 << 30, description="Stored facts held by this node.")
    ] = 64 << 20
    facts_max_stale_ms: Annotated[
        int,
        Unit("milliseconds"),
        Field(ge=0, le=60_000, description="How old a held fact may be while the server cannot be asked."),
    ] = 1_000


class LogConfig(_Section):
    """Log lines, written to standard error."""

    format: Annotated[
        LogFormat, Field(description="`console` for people, `json` for machines, `auto` by the terminal.")
    ] = LogFormat.AUTO
    level: Annotated[LogLevel, Field(description="Least severe level that is logged.")] = LogLevel.INFO


class Config(BaseSettings):
    """All settings of a decision point."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=NESTING,
    )

    policies: Annotated[
        Path | None,
        BeforeValidator(_absent),
        Field(description="Policy set directory, with its `manifest.yaml`; none is the sample estate."),
    ] = None
    listen: Annotated[
        Address, Field(description="Address of the decision service; port 0 lets the system choose.")
    ] = "127.0.0.1:7070"
    admin_listen: Annotated[
        OptionalAddress, Field(description="Loopback address of the admin service; `none` for none.")
    ] = "127.0.0.1:7071"
    http_listen: Annotated[
        OptionalAddress,
        Field(description="Address of `/metrics`, `/livez` and `/readyz`; `none` for none."),
    ] = "127.0.0.1:7072"
    threads: Annotated[int, Field(ge=0, le=1024, description="Request threads; 0 is one per core.")] = 0
    tls: Annotated[TlsConfig | None, Field(description="TLS of the decision service; none is plaintext.")] = (
        None
    )
    allow_plaintext: Annotated[
        bool, Field(description="Permits plaintext on addresses other than loopback.")
    ] = False
    watch: Annotated[bool, Field(description="Whether to reload when the policy directory changes.")] = True
    watch_interval_ms: Annotated[
        int,
        Unit("milliseconds"),
        Field(ge=10, le=3_600_000, description="Interval between looks at the policy directory."),
    ] = 500
    max_message_bytes: Annotated[
        int, Unit("bytes"), Field(ge=1024, le=64 << 20, description="Largest message accepted.")
    ] = 5 << 20
    max_header_bytes: Annotated[
        int, Unit("bytes"), Field(ge=1024, le=1 << 20, description="Largest header list accepted.")
    ] = 16 << 10
    max_concurrent_streams: Annotated[
        int, Field(ge=1, le=100_000, description="Calls open at once on one connection.")
    ] = 256
    max_connections: Annotated[int, Field(ge=1, le=1_000_000, description="Connections open at once.")] = 1024
    stream_in_flight: Annotated[
        int,
        Field(ge=1, le=10_000, description="Requests of one `CheckStream` answered ahead of the reader."),
    ] = 64
    max_in_flight: Annotated[
        int, Field(ge=1, le=1_000_000, description="Calls in progress at once over all connections.")
    ] = 4096
    keep_alive_interval_ms: Annotated[
        int,
        Unit("milliseconds"),
        Field(ge=1000, le=86_400_000, description="Idle time before a connection is probed."),
    ] = 30_000
    keep_alive_timeout_ms: Annotated[
        int, Unit("milliseconds"), Field(ge=100, le=3_600_000, description="Time a probe may take.")
    ] = 10_000
    drain_timeout_ms: Annotated[
        int,
        Unit("milliseconds"),
        Field(ge=0, le=3_600_000, description="Time that calls in progress get when draining."),
    ] = 10_000
    evaluation: Annotated[EvaluationConfig, Field(description="What one policy evaluation may use.")] = (
        EvaluationConfig()
    )
    memo_entries: Annotated[
        int,
        Field(ge=0, le=100_000_000, description="Memoised policy results per thread; 0 turns memoising off."),
    ] = 65_536
    state: Annotated[StateConfig, Field(description="Where counters and facts are kept.")] = StateConfig()
    log: Annotated[LogConfig, Field(description="Log lines.")] = LogConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read behind the caller's back: `load` merges the sources."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def server_document(self, policies: Path) -> str:
        """The core's configuration of a server, as JSON."""
        document = self.model_dump(mode="json", exclude={"log"})
        return json.dumps({**document, "policies": str(policies)})

    def engine_document(self, policies: Path) -> str:
        """The core's configuration of an embedded engine, as JSON."""
        document = self.model_dump(mode="json", include={"evaluation", "memo_entries", "state"})
        return json.dumps({**document, "policies": str(policies)})
