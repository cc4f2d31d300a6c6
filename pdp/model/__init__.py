"""Requests and decisions as frozen values; needs neither the core nor a server."""

from pdp.model._decision import CheckFailure, CheckResult, Decision
from pdp.model._document import request_from_mapping
from pdp.model._enums import CountedBy, DestinationKind, Effect, Question, ReasonCode, Tier
from pdp.model._explanation import (
    FactUse,
    Finding,
    LimitStatus,
    Obligation,
    Reason,
    ShadowResult,
    Verdict,
)
from pdp.model._fact import (
    Fact,
    FactChange,
    FactKind,
    FactName,
    FactPut,
    Facts,
    puts_from_document,
)
from pdp.model._parts import (
    Behaviour,
    Destination,
    Device,
    Function,
    HttpRequest,
    LimitSpend,
    Location,
    Payload,
    Resource,
    Subject,
    Transport,
)
from pdp.model._request import CheckRequest

__all__ = [
    "Behaviour",
    "CheckFailure",
    "CheckRequest",
    "CheckResult",
    "CountedBy",
    "Decision",
    "Destination",
    "DestinationKind",
    "Device",
    "Effect",
    "Fact",
    "FactChange",
    "FactKind",
    "FactName",
    "FactPut",
    "FactUse",
    "Facts",
    "Finding",
    "Function",
    "HttpRequest",
    "LimitSpend",
    "LimitStatus",
    "Location",
    "Obligation",
    "Payload",
    "Question",
    "Reason",
    "ReasonCode",
    "Resource",
    "ShadowResult",
    "Subject",
    "Tier",
    "Transport",
    "Verdict",
    "puts_from_document",
    "request_from_mapping",
]
