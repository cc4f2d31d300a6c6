"""What a stored fact is, and what one can do with it wherever it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from google.protobuf.struct_pb2 import Struct

from pdp._proto import admin_pb2 as pb
from pdp.errors import DocumentError, ErrorReason, InvalidRequestError
from pdp.model._struct import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

_PUT_KEYS = frozenset({"tenant", "kind", "id", "value", "version", "source", "observed_at"})


class FactKind(StrEnum):
    """What a document is about: the request's `subject.id`, `device.id` and so on."""

    SUBJECT = "subject"
    DEVICE = "device"
    FUNCTION = "function"
    DESTINATION = "destination"


_KINDS: Final = {
    FactKind.SUBJECT: pb.FACT_KIND_SUBJECT,
    FactKind.DEVICE: pb.FACT_KIND_DEVICE,
    FactKind.FUNCTION: pb.FACT_KIND_FUNCTION,
    FactKind.DESTINATION: pb.FACT_KIND_DESTINATION,
}
_NAMES: Final = {number: kind for kind, number in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class FactName:
    """Names a document.

    Attributes:
        kind: What it is about.
        id: Which one, 1 to 256 bytes.
        tenant: Tenant, at most 256 bytes; empty is the default tenant.
    """

    kind: FactKind
    id: str
    tenant: str = ""

    @classmethod
    def from_proto(cls, message: pb.FactName) -> Self:
        """The name in a message."""
        return cls(_NAMES[message.kind], message.id, message.tenant)

    def to_proto(self) -> pb.FactName:
        """The name as a message."""
        return pb.FactName(tenant=self.tenant, kind=_KINDS[self.kind], id=self.id)


@dataclass(frozen=True, slots=True)
class FactPut:
    """A document to store.

    Attributes:
        name: Its name.
        value: What policies see as `facts.<kind>.value`; at most 64 KiB as JSON.
        source: Who says so, 1 to 256 bytes.
        version: Version, above the stored one; None is one above it.
        observed_at: When the source observed it; None is now.
    """

    name: FactName
    value: Mapping[str, Any]
    source: str
    version: int | None = None
    observed_at: datetime | None = None

    def to_proto(self, at: int = 0) -> pb.Fact:
        """The document as a message.

        Args:
            at: Position among the documents of a request, for the path of an error.

        Raises:
            InvalidRequestError: When a field holds what no message can.
        """
        version = self.version
        if version is not None and not 0 < version < 1 << 53:
            message = "must be 1 to 2^53 - 1, or unset"
            raise InvalidRequestError(ErrorReason.FIELD_OUT_OF_RANGE, f"facts[{at}].version", message)
        value = Struct()
        try:
            value.update(self.value)
        except (TypeError, ValueError) as fault:
            message = f"holds what JSON cannot: {fault}"
            raise InvalidRequestError(ErrorReason.FIELD_MALFORMED, f"facts[{at}].value", message) from fault
        fact = pb.Fact(name=self.name.to_proto(), value=value, version=version or 0, source=self.source)
        if self.observed_at is not None:
            fact.observed_at.FromDatetime(self.observed_at)
        return fact


@dataclass(frozen=True, slots=True)
class Fact:
    """A stored document.

    Attributes:
        name: Its name.
        value: What policies see.
        version: Its version.
        source: Who says so.
        observed_at: When the source observed it, in UTC.
    """

    name: FactName
    value: Mapping[str, Any]
    version: int
    source: str
    observed_at: datetime

    @classmethod
    def from_proto(cls, message: pb.Fact) -> Self:
        """The document in a message."""
        observed_at = message.observed_at.ToDatetime(tzinfo=UTC)
        name = FactName.from_proto(message.name)
        return cls(name, plain(message.value), message.version, message.source, observed_at)

    def to_mapping(self) -> dict[str, Any]:
        """The document as `puts_from_document` reads it."""
        tenant = {"tenant": self.name.tenant} if self.name.tenant else {}
        return {
            **tenant,
            "kind": str(self.name.kind),
            "id": self.name.id,
            "value": dict(self.value),
            "version": self.version,
            "source": self.source,
            "observed_at": self.observed_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class FactChange:
    """A change.

    Attributes:
        name: Name of the document.
        version: Its version; of a deleted one, the last it had.
        fact: The document; None where it was deleted.
    """

    name: FactName
    version: int
    fact: Fact | None

    def to_mapping(self) -> dict[str, Any]:
        """The change as a JSON document."""
        if self.fact is not None:
            return {"deleted": False, **self.fact.to_mapping()}
        tenant = {"tenant": self.name.tenant} if self.name.tenant else {}
        name = {**tenant, "kind": str(self.name.kind), "id": self.name.id}
        return {"deleted": True, **name, "version": self.version}


class Facts(Protocol):
    """Where facts are kept."""

    def put(self, puts: Sequence[FactPut], ttl: timedelta | None = None) -> tuple[int, ...]:
        """Stores all documents, of one tenant, or none; the version of each.

        Args:
            puts: 1 to 1,000 documents.
            ttl: How long they are kept, 1 s to 366 days; None is until they are deleted.

        Raises:
            RequestError: When nothing was stored; `field` names the document at fault.
        """

    def get(self, names: Sequence[FactName]) -> tuple[Fact, ...]:
        """Those of the documents that exist, in the order of `names`."""

    def delete(self, names: Sequence[FactName]) -> int:
        """Deletes documents of one tenant; how many there were."""

    def watch(self) -> Iterator[FactChange]:
        """Each change from now on, each document's in the order of its versions.

        Raises:
            UnavailableError: When changes were lost: read again what matters, and watch anew.
        """

    def close(self) -> None:
        """Ends the connection."""


def puts_from_document(content: Any, *, source: str = "") -> tuple[FactPut, ...]:
    """Documents to store, from one mapping or a list of them.

    Args:
        content: Mappings with `kind`, `id` and `value`, and where wanted `tenant`, `version`, `source` and
            `observed_at` (RFC 3339).
        source: The source of documents that name none.

    Raises:
        DocumentError: When the content does not have that form.
    """
    entries = content if isinstance(content, list) else [content]
    named = isinstance(content, list)
    return tuple(_put(one, f"[{at}]" if named else "", source) for at, one in enumerate(entries))


def _put(entry: Any, path: str, source: str) -> FactPut:
    """One document to store."""

    def at(key: str) -> str:
        return f"{path}.{key}" if path else key

    if not isinstance(entry, dict):
        raise DocumentError(path, "must be a mapping with `kind`, `id` and `value`")
    for key in entry:
        if key not in _PUT_KEYS:
            raise DocumentError(at(str(key)), f"unknown key; known are {', '.join(sorted(_PUT_KEYS))}")
    try:
        kind = FactKind(str(entry.get("kind")))
    except ValueError:
        raise DocumentError(at("kind"), f"must be one of {', '.join(FactKind)}") from None
    name = FactName(kind, _text(entry, "id", at), _text(entry, "tenant", at, ""))
    value = entry.get("value")
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise DocumentError(at("value"), "must be a mapping of texts to values")
    put = FactPut(name, value, _text(entry, "source", at, source))
    version = entry.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise DocumentError(at("version"), "must be a whole number")
    return replace(put, version=version, observed_at=_time(entry.get("observed_at"), at("observed_at")))


def _text(entry: dict[str, Any], key: str, at: Any, default: str | None = None) -> str:
    """A text of an entry."""
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise DocumentError(at(key), "must be text")
    return value


def _time(value: Any, path: str) -> datetime | None:
    """A point in time with a zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DocumentError(path, f"`{value}` is no time as in `2026-01-31T12:00:00Z`") from None
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise DocumentError(path, "must be a time with a zone, as in `2026-01-31T12:00:00Z`")
    return value.astimezone(UTC)
