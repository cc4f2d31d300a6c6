"""A policy decision point for serverless estates.

`Client` and `AsyncClient` ask a running decision point; `Engine` decides in
this process. The model and the errors are the same for all three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdp.client import AsyncClient, Client, ClientOptions, Priority, TlsFiles
from pdp.errors import AccessDenied, InvalidRequestError, PdpError, RequestError
from pdp.model import (
    Behaviour,
    CheckRequest,
    CheckResult,
    Decision,
    Destination,
    DestinationKind,
    Device,
    Effect,
    Function,
    HttpRequest,
    LimitSpend,
    Location,
    Payload,
    Question,
    ReasonCode,
    Resource,
    Subject,
    Transport,
)

if TYPE_CHECKING:
    from pdp.engine import Engine

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "Behaviour",
    "CheckRequest",
    "CheckResult",
    "Client",
    "ClientOptions",
    "Decision",
    "Destination",
    "DestinationKind",
    "Device",
    "Effect",
    "Engine",
    "Function",
    "HttpRequest",
    "InvalidRequestError",
    "LimitSpend",
    "Location",
    "Payload",
    "PdpError",
    "Priority",
    "Question",
    "ReasonCode",
    "RequestError",
    "Resource",
    "Subject",
    "TlsFiles",
    "Transport",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Loads the engine when it is first named, so that the SDK works without the core."""
    if name == "Engine":
        from pdp.engine import Engine  # noqa: PLC0415 - see above

        return Engine
    raise AttributeError(f"module `pdp` has no attribute `{name}`")
