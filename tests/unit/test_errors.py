"""Errors carry their parts, and each reason has its class."""

from __future__ import annotations

import pytest

from pdp._proto import decision_pb2 as pb
from pdp.errors import (
    DeadlineError,
    Diagnostic,
    ErrorReason,
    InvalidRequestError,
    OverloadedError,
    PdpError,
    PolicySetError,
    PolicyUnknownError,
    RevisionNotActiveError,
    ServerError,
    UnavailableError,
    from_reason,
)


def test_every_reason_of_the_contract_has_a_member() -> None:
    """The enum is the contract's, name by name."""
    assert [f"ERROR_REASON_{one.name}" for one in ErrorReason] == pb.ErrorReason.keys()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("FIELD_REQUIRED", InvalidRequestError),
        ("DUPLICATE", InvalidRequestError),
        ("POLICY_UNKNOWN", PolicyUnknownError),
        ("REVISION_NOT_ACTIVE", RevisionNotActiveError),
        ("NOT_READY", UnavailableError),
        ("DEADLINE", DeadlineError),
        ("OVERLOADED", OverloadedError),
        ("INTERNAL", ServerError),
    ],
)
def test_reason_chooses_the_class(reason: str, kind: type[Exception]) -> None:
    """A caller catches classes, and reads the reason from any of them."""
    error = from_reason(reason, "subject.id", "is empty")
    assert type(error) is kind
    assert (error.reason, error.field, str(error)) == (reason, "subject.id", "subject.id: is empty")


def test_reason_of_a_newer_server_is_unspecified() -> None:
    """An unknown reason is still an error, never a decision."""
    error = from_reason("SOLAR_FLARE", "", "too sunny")
    assert isinstance(error, ServerError)
    assert error.reason is ErrorReason.UNSPECIFIED


def test_policy_set_error_names_every_place() -> None:
    """Each diagnostic is a line of its own, as compilers print them."""
    rows = [
        ("a.rego", 3, 7, "rego_syntax", "unexpected `}`"),
        Diagnostic("m.yaml", 0, 0, "document", "no `id`"),
    ]
    error = PolicySetError(rows)
    assert str(error).splitlines() == ["a.rego:3:7: rego_syntax: unexpected `}`", "m.yaml: document: no `id`"]


def test_every_error_has_the_one_base() -> None:
    """`except PdpError` catches all of them."""
    assert issubclass(InvalidRequestError, PdpError)
    assert issubclass(PolicySetError, PdpError)
