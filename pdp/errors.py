"""Every error the product raises; Rust raises these same classes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pdp.model import Decision

__all__ = [
    "AccessDenied",
    "ConfigError",
    "DeadlineError",
    "Diagnostic",
    "DocumentError",
    "ErrorReason",
    "InvalidRequestError",
    "ListenError",
    "OverloadedError",
    "PdpError",
    "PolicySetError",
    "PolicyUnknownError",
    "RequestError",
    "RevisionNotActiveError",
    "ServerError",
    "UnavailableError",
    "from_reason",
]


class ErrorReason(StrEnum):
    """Stable reasons of a refused request; the contract's `ErrorReason` documents each."""

    UNSPECIFIED = "UNSPECIFIED"
    FIELD_REQUIRED = "FIELD_REQUIRED"
    FIELD_OUT_OF_RANGE = "FIELD_OUT_OF_RANGE"
    ENUM_UNKNOWN = "ENUM_UNKNOWN"
    NUMBER_NOT_FINITE = "NUMBER_NOT_FINITE"
    TOO_DEEP = "TOO_DEEP"
    TOO_LARGE = "TOO_LARGE"
    DUPLICATE = "DUPLICATE"
    FIELD_MALFORMED = "FIELD_MALFORMED"
    POLICY_UNKNOWN = "POLICY_UNKNOWN"
    REVISION_NOT_ACTIVE = "REVISION_NOT_ACTIVE"
    NOT_READY = "NOT_READY"
    DEADLINE = "DEADLINE"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"


class PdpError(Exception):
    """Base of everything the product raises."""


class AccessDenied(PdpError):  # noqa: N818 - an answer turned into an exception, not a fault
    """The decision was DENY, and the caller asked for an exception instead of a value."""

    def __init__(self, decision: Decision) -> None:
        """Keeps `decision`, which says why."""
        super().__init__(f"denied: {decision.explanation}")
        self.decision = decision


class RequestError(PdpError):
    """A request got no decision.

    Attributes:
        reason: Stable reason.
        field: Path of the field at fault, empty where no field is at fault.
        message: One sentence for a person.
    """

    def __init__(self, reason: ErrorReason | str, field: str, message: str) -> None:
        """Takes the parts of the contract's `ErrorDetail`."""
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = _reason(reason)
        self.field = field
        self.message = message


class InvalidRequestError(RequestError):
    """A field of the request is missing, malformed or out of range."""


class PolicyUnknownError(RequestError):
    """The request names a policy that the active set does not hold."""


class RevisionNotActiveError(RequestError):
    """The request asks for a revision that is not the active one."""


class UnavailableError(RequestError):
    """No decision point answered, or it is not ready."""


class DeadlineError(RequestError):
    """The deadline passed before an answer came."""


class OverloadedError(RequestError):
    """The decision point is at its limit of concurrent work."""


class ServerError(RequestError):
    """The decision point failed."""


class ConfigError(PdpError):
    """A configuration value cannot be used.

    Attributes:
        key: Name of the setting, dotted.
        message: What is wrong with which value, and how to fix it.
    """

    def __init__(self, key: str, message: str) -> None:
        """Names the setting and the fault."""
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.message = message


class ListenError(PdpError):
    """An address cannot be listened on, for instance because its port is in use."""


class DocumentError(PdpError):
    """A request document does not have the documented form.

    Attributes:
        path: Where in the document, such as `subject.roles[2]`.
        message: What is wrong and how to fix it.
    """

    def __init__(self, path: str, message: str) -> None:
        """Names the place and the fault."""
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A fault in a policy set.

    Attributes:
        file: File, relative to the policy directory.
        row: Row from 1; 0 where unknown.
        column: Column from 1, in characters; 0 where unknown.
        code: Stable code, such as `rego_syntax`.
        message: What is wrong and how to fix it.
    """

    file: str
    row: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        """The diagnostic as compilers print it."""
        place = f"{self.file}:{self.row}:{self.column}" if self.row else self.file
        return f"{place}: {self.code}: {self.message}"


class PolicySetError(PdpError):
    """A policy set does not build.

    Attributes:
        diagnostics: Every fault found.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic | tuple[str, int, int, str, str]]) -> None:
        """Takes diagnostics, or their fields as Rust passes them."""
        self.diagnostics = tuple(
            one if isinstance(one, Diagnostic) else Diagnostic(*one) for one in diagnostics
        )
        super().__init__("\n".join(map(str, self.diagnostics)) or "the policy set does not build")


_CLASSES: dict[ErrorReason, type[RequestError]] = {
    ErrorReason.POLICY_UNKNOWN: PolicyUnknownError,
    ErrorReason.REVISION_NOT_ACTIVE: RevisionNotActiveError,
    ErrorReason.NOT_READY: UnavailableError,
    ErrorReason.DEADLINE: DeadlineError,
    ErrorReason.OVERLOADED: OverloadedError,
    ErrorReason.INTERNAL: ServerError,
    ErrorReason.UNSPECIFIED: ServerError,
}


def from_reason(reason: ErrorReason | str, field: str, message: str) -> RequestError:
    """The error whose class belongs to `reason`; every other reason is an invalid request."""
    known = _reason(reason)
    return _CLASSES.get(known, InvalidRequestError)(known, field, message)


def _reason(reason: ErrorReason | str) -> ErrorReason:
    """`reason` as an enum; one this release does not know is UNSPECIFIED."""
    try:
        return ErrorReason(reason)
    except ValueError:
        return ErrorReason.UNSPECIFIED
