"""The SDK: asks a decision point over gRPC; needs neither the core nor a configuration."""

from pdp.client._aio import AsyncClient
from pdp.client._options import ClientOptions, TlsFiles
from pdp.client._sync import Client

__all__ = ["AsyncClient", "Client", "ClientOptions", "TlsFiles"]
