"""Facts through the admin service of a decision point."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from google.protobuf.struct_pb2 import Struct

from pdp._proto import admin_pb2 as pb
from pdp._proto import admin_pb2_grpc
from pdp.client._call import error_of
from pdp.control._fact import Fact, FactChange, FactKind, FactName
from pdp.errors import ErrorReason, InvalidRequestError
from pdp.model._struct import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from pdp.control._fact import FactPut

_KINDS: Final = {
    FactKind.SUBJECT: pb.FACT_KIND_SUBJECT,
    FactKind.DEVICE: pb.FACT_KIND_DEVICE,
    FactKind.FUNCTION: pb.FACT_KIND_FUNCTION,
    FactKind.DESTINATION: pb.FACT_KIND_DESTINATION,
}
_NAMES: Final = {number: kind for kind, number in _KINDS.items()}
# A thousand documents of 64 KiB.
_MAX_MESSAGE_BYTES: Final = 80 * 1024 * 1024


class AdminFacts:
    """Facts as a decision point keeps them: in its memory, or in the Redis that it shares."""

    def __init__(self, target: str, *, timeout_seconds: float = 5.0) -> None:
        """Connects when it is first used.

        Args:
            target: Admin address of a decision point, host:port.
            timeout_seconds: Deadline of one call; watching has none.
        """
        options = [("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
        self._channel = grpc.insecure_channel(target, options)
        self._stub = admin_pb2_grpc.AdminServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._timeout = timeout_seconds

    def __enter__(self) -> Self:
        """The same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def put(self, puts: Sequence[FactPut], ttl: timedelta | None = None) -> tuple[int, ...]:
        """Stores all documents, of one tenant, or none; the version of each.

        Raises:
            RequestError: When nothing was stored; `field` names the document at fault.
        """
        request = pb.PutFactsRequest(facts=[_message(at, one) for at, one in enumerate(puts)])
        if ttl is not None:
            request.ttl.FromTimedelta(ttl)
        return tuple(self._call(self._stub.PutFacts, request).versions)

    def get(self, names: Sequence[FactName]) -> tuple[Fact, ...]:
        """Those of the documents that exist, in the order of `names`.

        Raises:
            RequestError: When a name is no name, or nobody answers.
        """
        answer = self._call(self._stub.GetFacts, pb.GetFactsRequest(names=[_name(one) for one in names]))
        return tuple(_fact(one) for one in answer.facts)

    def delete(self, names: Sequence[FactName]) -> int:
        """Deletes documents of one tenant; how many there were.

        Raises:
            RequestError: When a name is no name, or nobody answers.
        """
        request = pb.DeleteFactsRequest(names=[_name(one) for one in names])
        return int(self._call(self._stub.DeleteFacts, request).deleted)

    def watch(self) -> Iterator[FactChange]:
        """Each change from now on, each document's in the order of its versions.

        Raises:
            RequestError: When changes were lost, or nobody answers any more.
        """
        try:
            changes = self._stub.WatchFacts(pb.WatchFactsRequest())
            for one in changes:
                fact = None if one.deleted else _fact(one.fact)
                yield FactChange(_read_name(one.fact.name), one.fact.version, fact)
        except grpc.RpcError as fault:
            raise error_of(fault) from fault

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        """Calls a method."""
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as fault:
            raise error_of(fault) from fault


def _message(at: int, put: FactPut) -> pb.Fact:
    """A document as a message."""
    version = put.version
    if version is not None and not 0 < version < 1 << 53:
        message = "must be 1 to 2^53 - 1, or unset"
        raise InvalidRequestError(ErrorReason.FIELD_OUT_OF_RANGE, f"facts[{at}].version", message)
    value = Struct()
    try:
        value.update(put.value)
    except (TypeError, ValueError) as fault:
        message = f"holds what JSON cannot: {fault}"
        raise InvalidRequestError(ErrorReason.FIELD_MALFORMED, f"facts[{at}].value", message) from fault
    fact = pb.Fact(name=_name(put.name), value=value, version=version or 0, source=put.source)
    if put.observed_at is not None:
        fact.observed_at.FromDatetime(put.observed_at)
    return fact


def _name(name: FactName) -> pb.FactName:
    return pb.FactName(tenant=name.tenant, kind=_KINDS[name.kind], id=name.id)


def _read_name(name: pb.FactName) -> FactName:
    return FactName(_NAMES[name.kind], name.id, name.tenant)


def _fact(fact: pb.Fact) -> Fact:
    observed_at = fact.observed_at.ToDatetime(tzinfo=UTC)
    return Fact(_read_name(fact.name), plain(fact.value), fact.version, fact.source, observed_at)
