"""The SDK: asks a decision point over gRPC; needs neither the core nor a configuration."""

from pdp.client._aio import AsyncClient
from pdp.client._call import error_of
from pdp.client._options import ClientOptions, Priority, TlsFiles
from pdp.client._sync import Client

__all__ = ["AsyncClient", "Client", "ClientOptions", "Priority", "TlsFiles", "error_of"]
