"""What holds for all tests, and a caller of Envoy's services that several need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

# Commands that tests start use the installed package, as the tests themselves do:
# the checkout's own would be found first, and it has no compiled core.
os.environ["PYTHONSAFEPATH"] = "1"

ENVOY = Path(__file__).resolve().parents[1] / "rust/pdp-proto/src/generated/envoy_descriptor_set.bin"
METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


class RateLimitService:
    """Calls Envoy's rate limit service.

    The messages live in a pool of their own, so that they meet no other package's copy of Envoy's.
    """

    def __init__(self) -> None:
        """Builds the messages from the committed descriptors."""
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(ENVOY.read_bytes()).file:
            pool.Add(file)
        package = "envoy.service.ratelimit.v3"
        self.request, self.response = (
            message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
            for name in ("RateLimitRequest", "RateLimitResponse")
        )

    def ask(self, address: str, document: dict[str, Any], request_id: str = "") -> dict[str, Any]:
        """The answer to a request, both as JSON documents.

        Raises:
            grpc.RpcError: When the call fails.
        """
        metadata = [("x-request-id", request_id)] if request_id else []
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(
                METHOD,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=self.response.FromString,
            )
            request = json_format.ParseDict(document, self.request())
            answer = call(request, timeout=10.0, metadata=metadata)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)


@pytest.fixture(scope="session")
def rate_limit_service() -> RateLimitService:
    """A caller of Envoy's rate limit service."""
    return RateLimitService()
