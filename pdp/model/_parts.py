"""What a request is made of: frozen values that fill the contract's messages.

Limits of sizes and ranges are the contract's (`protos/pdp/v1/decision.proto`)
and are checked by the decision point, which names the field at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pdp.model._enums import DESTINATION_KIND_NUMBERS, DestinationKind

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct
    from google.protobuf.timestamp_pb2 import Timestamp

    from pdp._proto import decision_pb2 as pb


def fill_struct(message: Struct, values: Mapping[str, Any]) -> None:
    """Copies a JSON-like mapping into a protobuf struct."""
    for key, value in values.items():
        # Texts are most of what is sent; setting them directly takes a fifth of the general way.
        if type(value) is str:
            message.fields[key].string_value = value
        else:
            message[key] = value


def _fill_time(message: Timestamp, moment: datetime) -> None:
    """Copies a moment; one without a zone could mean any of 24 and is refused."""
    if moment.tzinfo is None:
        raise ValueError("the time has no zone; pass an aware `datetime`")
    message.FromDatetime(moment)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks.

    Attributes:
        id: Stable id; required.
        type: `user`, `service`, `function`; empty means unknown.
        roles: Roles the caller vouches for.
        groups: Groups the caller vouches for.
        attributes: Further attributes, such as verified token claims.
        authentication: `password`, `mfa`, `mtls`, `jwt`; empty means not authenticated.
    """

    id: str
    type: str = ""
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Any] | None = None
    authentication: str = ""

    def _fill(self, message: pb.Subject) -> None:
        if self.id:
            message.id = self.id
        if self.type:
            message.type = self.type
        if self.roles:
            message.roles.extend(self.roles)
        if self.groups:
            message.groups.extend(self.groups)
        if self.attributes:
            fill_struct(message.attributes, self.attributes)
        if self.authentication:
            message.authentication = self.authentication


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is done to.

    Attributes:
        id: Id or path; required.
        type: Kind of resource.
        owner: Id of the owning subject.
        labels: Labels.
        attributes: Further attributes.
    """

    id: str
    type: str = ""
    owner: str = ""
    labels: Mapping[str, str] | None = None
    attributes: Mapping[str, Any] | None = None

    def _fill(self, message: pb.Resource) -> None:
        if self.id:
            message.id = self.id
        if self.type:
            message.type = self.type
        if self.owner:
            message.owner = self.owner
        if self.labels:
            message.labels.update(self.labels)
        if self.attributes:
            fill_struct(message.attributes, self.attributes)


@dataclass(frozen=True, slots=True)
class Function:
    """A serverless function.

    Attributes:
        id: Stable id; required.
        labels: Labels, such as `team=payments`.
        roles: Roles the function runs under.
        environment: Such as `production`.
        version: Deployed version.
        attributes: Further attributes.
    """

    id: str
    labels: Mapping[str, str] | None = None
    roles: tuple[str, ...] = ()
    environment: str = ""
    version: str = ""
    attributes: Mapping[str, Any] | None = None

    def _fill(self, message: pb.Function) -> None:
        if self.id:
            message.id = self.id
        if self.labels:
            message.labels.update(self.labels)
        if self.roles:
            message.roles.extend(self.roles)
        if self.environment:
            message.environment = self.environment
        if self.version:
            message.version = self.version
        if self.attributes:
            fill_struct(message.attributes, self.attributes)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call or payload goes.

    Attributes:
        id: Stable id, such as a function id or host name; required.
        kind: Function, service or external.
        host: Host name or address.
        port: 1 to 65535; 0 means unknown.
        labels: Labels.
        attributes: Further attributes.
    """

    id: str
    kind: DestinationKind = DestinationKind.UNSPECIFIED
    host: str = ""
    port: int = 0
    labels: Mapping[str, str] | None = None
    attributes: Mapping[str, Any] | None = None

    def _fill(self, message: pb.Destination) -> None:
        if self.id:
            message.id = self.id
        message.kind = DESTINATION_KIND_NUMBERS[self.kind]
        if self.host:
            message.host = self.host
        if self.port:
            message.port = self.port
        if self.labels:
            message.labels.update(self.labels)
        if self.attributes:
            fill_struct(message.attributes, self.attributes)


@dataclass(frozen=True, slots=True)
class Transport:
    """Facts of the connection, as the enforcement point saw them.

    Attributes:
        source_ip: Address of the immediate peer, without a port.
        tls_version: Such as `1.3`; empty means plaintext or unknown.
        tls_cipher: IANA name of the cipher suite.
        server_name: Server name the client sent.
        peer_identity: Verified identity of the peer; empty means none.
        encrypted: Whether the connection is encrypted; None means unknown.
    """

    source_ip: str = ""
    tls_version: str = ""
    tls_cipher: str = ""
    server_name: str = ""
    peer_identity: str = ""
    encrypted: bool | None = None

    def _fill(self, message: pb.Transport) -> None:
        if self.source_ip:
            message.source_ip = self.source_ip
        if self.tls_version:
            message.tls_version = self.tls_version
        if self.tls_cipher:
            message.tls_cipher = self.tls_cipher
        if self.server_name:
            message.server_name = self.server_name
        if self.peer_identity:
            message.peer_identity = self.peer_identity
        if self.encrypted is not None:
            message.encrypted = self.encrypted


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The HTTP request behind a question.

    Attributes:
        method: Upper case, such as `GET`.
        path: Path and query as received.
        host: Authority as received.
        headers: Lower-case names; repeated headers joined by `, `.
    """

    method: str = ""
    path: str = ""
    host: str = ""
    headers: Mapping[str, str] | None = None

    def _fill(self, message: pb.HttpRequest) -> None:
        if self.method:
            message.method = self.method
        if self.path:
            message.path = self.path
        if self.host:
            message.host = self.host
        if self.headers:
            message.headers.update(self.headers)


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload that is about to leave.

    Attributes:
        content: The bytes, at most 4 MiB.
        content_type: Media type.
    """

    content: bytes = b""
    content_type: str = ""

    def _fill(self, message: pb.Payload) -> None:
        if self.content:
            message.content = self.content
        if self.content_type:
            message.content_type = self.content_type


@dataclass(frozen=True, slots=True)
class LimitSpend:
    """How much a rate-limit question spends.

    Attributes:
        hits: 1 to 1,000,000,000; None means 1.
        descriptors: Values that limit keys may use.
        preview: Whether limits are only read, not spent: what would this request be told?
        report_later: Whether `hits` is an estimate that `report_usage` will correct.
    """

    hits: int | None = None
    descriptors: Mapping[str, str] | None = None
    preview: bool = False
    report_later: bool = False

    def _fill(self, message: pb.LimitSpend) -> None:
        if self.hits is not None:
            message.hits = self.hits
        if self.descriptors:
            message.descriptors.update(self.descriptors)
        if self.preview:
            message.preview = True
        if self.report_later:
            message.report_later = True


@dataclass(frozen=True, slots=True)
class Device:
    """The subject's device; None means unknown.

    Attributes:
        id: Stable id.
        managed: Whether it is under management.
        compliant: Whether it meets its posture policy.
        os: Operating system, such as `macos`.
        os_version: Version of the operating system.
        disk_encrypted: Whether storage is encrypted.
        observed_at: When this was observed; None means with this request.
        attributes: Further attributes.
    """

    id: str = ""
    managed: bool | None = None
    compliant: bool | None = None
    os: str = ""
    os_version: str = ""
    disk_encrypted: bool | None = None
    observed_at: datetime | None = None
    attributes: Mapping[str, Any] | None = None

    def _fill(self, message: pb.Device) -> None:
        if self.id:
            message.id = self.id
        if self.managed is not None:
            message.managed = self.managed
        if self.compliant is not None:
            message.compliant = self.compliant
        if self.os:
            message.os = self.os
        if self.os_version:
            message.os_version = self.os_version
        if self.disk_encrypted is not None:
            message.disk_encrypted = self.disk_encrypted
        if self.observed_at is not None:
            _fill_time(message.observed_at, self.observed_at)
        if self.attributes:
            fill_struct(message.attributes, self.attributes)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a request comes from.

    Attributes:
        country: ISO 3166-1 alpha-2 code, upper case.
        region: Region or subdivision.
        asn: Autonomous system number; 0 means unknown.
        anonymous: Whether the address is known as an anonymiser; None means unknown.
        observed_at: When this was observed; None means with this request.
    """

    country: str = ""
    region: str = ""
    asn: int = 0
    anonymous: bool | None = None
    observed_at: datetime | None = None

    def _fill(self, message: pb.Location) -> None:
        if self.country:
            message.country = self.country
        if self.region:
            message.region = self.region
        if self.asn:
            message.asn = self.asn
        if self.anonymous is not None:
            message.anonymous = self.anonymous
        if self.observed_at is not None:
            _fill_time(message.observed_at, self.observed_at)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is known of recent behaviour.

    Attributes:
        score: Risk, 0 (ordinary) to 1 (certainly hostile); None means unknown.
        signals: Names of signals that raised the score.
        observed_at: When this was observed; None means with this request.
    """

    score: float | None = None
    signals: tuple[str, ...] = ()
    observed_at: datetime | None = None

    def _fill(self, message: pb.Behaviour) -> None:
        if self.score is not None:
            message.score = self.score
        if self.signals:
            message.signals.extend(self.signals)
        if self.observed_at is not None:
            _fill_time(message.observed_at, self.observed_at)
