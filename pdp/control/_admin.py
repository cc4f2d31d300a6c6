"""Facts through the admin service of a decision point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import grpc

from pdp._proto import admin_pb2 as pb
from pdp._proto import admin_pb2_grpc
from pdp.client._call import error_of
from pdp.model import Fact, FactChange, FactName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from pdp.model import FactPut

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
        request = pb.PutFactsRequest(facts=[one.to_proto(at) for at, one in enumerate(puts)])
        if ttl is not None:
            request.ttl.FromTimedelta(ttl)
        return tuple(self._call(self._stub.PutFacts, request).versions)

    def get(self, names: Sequence[FactName]) -> tuple[Fact, ...]:
        """Those of the documents that exist, in the order of `names`.

        Raises:
            RequestError: When a name is no name, or nobody answers.
        """
        answer = self._call(self._stub.GetFacts, pb.GetFactsRequest(names=[one.to_proto() for one in names]))
        return tuple(Fact.from_proto(one) for one in answer.facts)

    def delete(self, names: Sequence[FactName]) -> int:
        """Deletes documents of one tenant; how many there were.

        Raises:
            RequestError: When a name is no name, or nobody answers.
        """
        request = pb.DeleteFactsRequest(names=[one.to_proto() for one in names])
        return int(self._call(self._stub.DeleteFacts, request).deleted)

    def watch(self) -> Iterator[FactChange]:
        """Each change from now on, each document's in the order of its versions.

        Raises:
            RequestError: When changes were lost, or nobody answers any more.
        """
        try:
            changes = self._stub.WatchFacts(pb.WatchFactsRequest())
            for one in changes:
                fact = None if one.deleted else Fact.from_proto(one.fact)
                yield FactChange(FactName.from_proto(one.fact.name), one.fact.version, fact)
        except grpc.RpcError as fault:
            raise error_of(fault) from fault

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        """Calls a method."""
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as fault:
            raise error_of(fault) from fault
