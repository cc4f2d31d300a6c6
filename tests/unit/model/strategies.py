"""Requests of any shape, for properties."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from pdp.model import (
    Behaviour,
    CheckRequest,
    Destination,
    DestinationKind,
    Device,
    Function,
    HttpRequest,
    LimitSpend,
    Location,
    Payload,
    Question,
    Resource,
    Subject,
    Transport,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
LABELS = st.none() | st.dictionaries(TEXT, TEXT, min_size=1, max_size=3)
FLAG = st.none() | st.booleans()
# Bounds without a zone are what hypothesis asks for.
LOW, HIGH = datetime(1970, 1, 2), datetime(2200, 1, 1)  # noqa: DTZ001
TIME = st.none() | st.datetimes(LOW, HIGH, timezones=st.just(UTC))
# Protobuf's structs hold numbers as doubles: these survive.
SCALAR = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT
OPEN: st.SearchStrategy[Any] = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
STRUCT = st.none() | st.dictionaries(TEXT, OPEN, min_size=1, max_size=3)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The value, or None."""
    return st.none() | strategy


REQUESTS: st.SearchStrategy[CheckRequest] = st.builds(
    CheckRequest,
    questions=st.lists(st.sampled_from(Question), unique=True).map(tuple),
    request_id=TEXT,
    tenant=TEXT,
    action=TEXT,
    subject=optional(st.builds(Subject, TEXT, TEXT, TEXTS, TEXTS, STRUCT, TEXT)),
    resource=optional(st.builds(Resource, TEXT, TEXT, TEXT, LABELS, STRUCT)),
    function=optional(st.builds(Function, TEXT, LABELS, TEXTS, TEXT, TEXT, STRUCT)),
    destination=optional(
        st.builds(
            Destination,
            TEXT,
            st.sampled_from(DestinationKind),
            TEXT,
            st.integers(0, 2**32 - 1),
            LABELS,
            STRUCT,
        )
    ),
    transport=optional(st.builds(Transport, TEXT, TEXT, TEXT, TEXT, TEXT, FLAG)),
    http=optional(st.builds(HttpRequest, TEXT, TEXT, TEXT, LABELS)),
    payload=optional(st.builds(Payload, st.binary(max_size=16), TEXT)),
    limit=optional(
        st.builds(LimitSpend, st.none() | st.integers(0, 2**64 - 1), LABELS, st.booleans(), st.booleans())
    ),
    device=optional(st.builds(Device, TEXT, FLAG, FLAG, TEXT, TEXT, FLAG, TIME, STRUCT)),
    location=optional(st.builds(Location, TEXT, TEXT, st.integers(0, 2**32 - 1), FLAG, TIME)),
    behaviour=optional(st.builds(Behaviour, st.none() | st.floats(0, 1), TEXTS, TIME)),
    context=STRUCT,
    policy_revision=TEXT,
    required_policy_ids=TEXTS,
)
