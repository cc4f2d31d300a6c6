"""What is asked: a frozen value that encodes itself for the wire.

Limits of sizes and ranges are the contract's (`protos/pdp/v1/decision.proto`)
and are checked by the decision point, which names the field at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, Self

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from pdp._proto import decision_pb2 as pb
from pdp.errors import ErrorReason, InvalidRequestError
from pdp.model._enums import (
    DESTINATION_KINDS,
    QUESTION_NUMBERS,
    QUESTIONS,
    Question,
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
    fill_struct,
)
from pdp.model._struct import plain

_PARTS: Final[dict[str, type[Any]]] = {
    "subject": Subject,
    "resource": Resource,
    "function": Function,
    "destination": Destination,
    "transport": Transport,
    "http": HttpRequest,
    "payload": Payload,
    "limit": LimitSpend,
    "device": Device,
    "location": Location,
    "behaviour": Behaviour,
}


_TEXTS: Final = ("request_id", "tenant", "action", "policy_revision")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """One request, which may ask several questions.

    Attributes:
        questions: One or more questions, each at most once.
        request_id: Names the request; the same id spends a counter once.
        tenant: Empty means the default tenant.
        subject: Who asks; required for access.
        action: What is to be done; required for access.
        resource: What it is to be done to; required for access.
        function: On whose behalf; required for segmentation and egress.
        destination: Where it goes; required for segmentation and egress.
        transport: What is known of the connection.
        http: The HTTP request behind the question.
        payload: What to scan; required for egress.
        limit: How much a rate-limit question spends.
        device: The subject's device.
        location: Where the request comes from.
        behaviour: What is known of the subject's recent behaviour.
        context: Anything else policies should see, as `input.context`.
        policy_revision: When set, the answer must come from this revision.
        required_policy_ids: Policies that must have applied.
    """

    questions: tuple[Question, ...]
    request_id: str = ""
    tenant: str = ""
    subject: Subject | None = None
    action: str = ""
    resource: Resource | None = None
    function: Function | None = None
    destination: Destination | None = None
    transport: Transport | None = None
    http: HttpRequest | None = None
    payload: Payload | None = None
    limit: LimitSpend | None = None
    device: Device | None = None
    location: Location | None = None
    behaviour: Behaviour | None = None
    context: Mapping[str, Any] | None = None
    policy_revision: str = ""
    required_policy_ids: tuple[str, ...] = ()

    @property
    def is_repeatable(self) -> bool:
        """Whether sending this twice does what sending it once does."""
        spends = Question.RATE_LIMIT in self.questions and not (self.limit is not None and self.limit.preview)
        return bool(self.request_id) or not spends

    @classmethod
    def from_proto(cls, message: pb.CheckRequest) -> Self:
        """The request that a message of the contract holds.

        Raises:
            InvalidRequestError: When an enum's value is not known.
        """
        parts: dict[str, Any] = {
            name: _part(kind, getattr(message, name))
            for name, kind in _PARTS.items()
            if message.HasField(name)
        }
        try:
            questions = tuple([QUESTIONS[one] for one in message.questions])
        except KeyError as fault:
            raise InvalidRequestError(
                ErrorReason.ENUM_UNKNOWN, "questions", f"`{fault.args[0]}` is not known"
            ) from fault
        return cls(
            questions=questions,
            request_id=message.request_id,
            tenant=message.tenant,
            action=message.action,
            context=plain(message.context) if message.HasField("context") else None,
            policy_revision=message.policy_revision,
            required_policy_ids=tuple(message.required_policy_ids),
            **parts,
        )

    def to_proto(self) -> pb.CheckRequest:
        """The request as the contract's message.

        Raises:
            InvalidRequestError: When a value does not fit its field.
        """
        message = pb.CheckRequest()
        field = "questions"
        # Filling fields in place takes half the time of passing nested messages to constructors.
        try:
            message.questions.extend([QUESTION_NUMBERS[one] for one in self.questions])
            for field in _PARTS:
                part = getattr(self, field)
                if part is not None:
                    inner = getattr(message, field)
                    inner.SetInParent()
                    part._fill(inner)  # noqa: SLF001 - parts of one model
            field = "context"
            if self.context:
                fill_struct(message.context, self.context)
            for field in _TEXTS:
                text = getattr(self, field)
                if text:
                    setattr(message, field, text)
            field = "required_policy_ids"
            if self.required_policy_ids:
                message.required_policy_ids.extend(self.required_policy_ids)
        except (TypeError, ValueError, OverflowError, AttributeError) as fault:
            raise InvalidRequestError(ErrorReason.FIELD_MALFORMED, field, _sentence(fault)) from fault
        except KeyError as fault:
            raise InvalidRequestError(
                ErrorReason.ENUM_UNKNOWN, field, f"`{fault.args[0]}` is not known"
            ) from fault
        except RecursionError as fault:
            raise InvalidRequestError(ErrorReason.TOO_DEEP, field, "nested too deeply") from fault
        return message


def _part(kind: type[Any], message: Any) -> Any:
    """A part of a request from its message: fields have the same names on both sides."""
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        match value:
            case Timestamp():
                values[field.name] = value.ToDatetime(UTC)
            case Struct():
                values[field.name] = plain(value)
            case _ if field.name == "kind":
                values[field.name] = DESTINATION_KINDS[value]
            case _ if field.message_type is not None:
                values[field.name] = dict(value)
            case _ if field.is_repeated:
                values[field.name] = tuple(value)
            case _:
                values[field.name] = value
    if "id" in kind.__dataclass_fields__:
        values.setdefault("id", "")
    return kind(**values)


def _sentence(fault: Exception) -> str:
    """The fault in the product's form: lower case first, no final stop, bounded."""
    text = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
    return (text[:1].lower() + text[1:]).rstrip(".")
