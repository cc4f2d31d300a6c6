"""The document that policies read, as the contract describes it.

The core builds the same document for its own engines; comparing verdicts with
a real OPA or cel-python over this one holds the two builders to each other.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pdp.model import CheckRequest, DestinationKind, LimitSpend, Payload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pdp.model import Finding

_NOT_SEEN = frozenset({"questions", "request_id", "policy_revision", "required_policy_ids"})
_ALWAYS = frozenset({"labels", "attributes", "headers", "descriptors"})


def input_document(request: CheckRequest, findings: Iterable[Finding] = ()) -> dict[str, Any]:
    """What policies see of `request`, with what the scanner found in its payload.

    Lists and maps exist whenever their message does; empty texts, zero numbers
    that mean unknown and unset fields are absent.
    """
    document: dict[str, Any] = {}
    for one in fields(CheckRequest):
        value = getattr(request, one.name)
        if one.name in _NOT_SEEN or value is None or value == "":
            continue
        document[one.name] = (
            _part(value) if is_dataclass(value) else dict(value) if one.name == "context" else value
        )
    if request.payload is not None:
        document["payload"] = _payload(request.payload, findings)
    limit = request.limit or LimitSpend()
    document["limit"] = {
        "hits": 1 if limit.hits is None else limit.hits,
        "descriptors": dict(limit.descriptors or {}),
    }
    if not document.get("context", True):
        del document["context"]
    return document


def _part(message: Any) -> dict[str, Any]:
    """One message's fields."""
    found: dict[str, Any] = {}
    for one in fields(message):
        value = getattr(message, one.name)
        if isinstance(value, datetime) or value is DestinationKind.UNSPECIFIED:
            continue
        if one.name in _ALWAYS:
            found[one.name] = dict(value or {})
        elif isinstance(value, tuple):
            found[one.name] = list(value)
        elif one.name in {"port", "asn"}:
            found |= {one.name: value} if value else {}
        elif value is not None and value != "":
            found[one.name] = value
    return found


def _payload(payload: Payload, findings: Iterable[Finding]) -> dict[str, Any]:
    """A payload without its bytes."""
    found: dict[str, Any] = {
        "size": len(payload.content),
        "findings": [
            {
                "detector": one.detector,
                "category": one.category,
                "start": one.start,
                "end": one.end,
                "confidence": one.confidence,
            }
            for one in findings
        ],
    }
    if payload.content_type:
        found["content_type"] = payload.content_type
    return found
