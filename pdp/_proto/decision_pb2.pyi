import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Question(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUESTION_UNSPECIFIED: _ClassVar[Question]
    QUESTION_ACCESS: _ClassVar[Question]
    QUESTION_SEGMENTATION: _ClassVar[Question]
    QUESTION_EGRESS: _ClassVar[Question]
    QUESTION_RATE_LIMIT: _ClassVar[Question]

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_ALLOW: _ClassVar[Effect]
    EFFECT_DENY: _ClassVar[Effect]

class ReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_CODE_UNSPECIFIED: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_ALLOW: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_DENY: _ClassVar[ReasonCode]
    REASON_CODE_DEFAULT_DENY: _ClassVar[ReasonCode]
    REASON_CODE_NOT_ALLOWED: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_ERROR: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_OUTPUT_INVALID: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_TIMEOUT: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_INSTRUCTION_LIMIT: _ClassVar[ReasonCode]
    REASON_CODE_POLICY_MEMORY_LIMIT: _ClassVar[ReasonCode]
    REASON_CODE_FAIL_OPEN: _ClassVar[ReasonCode]
    REASON_CODE_FACT_MISSING: _ClassVar[ReasonCode]
    REASON_CODE_FACT_TOO_OLD: _ClassVar[ReasonCode]
    REASON_CODE_RATE_LIMITED: _ClassVar[ReasonCode]
    REASON_CODE_WITHIN_LIMIT: _ClassVar[ReasonCode]
    REASON_CODE_DATA_BLOCKED: _ClassVar[ReasonCode]
    REASON_CODE_DATA_MASKED: _ClassVar[ReasonCode]
    REASON_CODE_PAYLOAD_NOT_SCANNED: _ClassVar[ReasonCode]
    REASON_CODE_NOT_EVALUATED: _ClassVar[ReasonCode]
    REASON_CODE_REQUIRED_POLICY_NOT_APPLIED: _ClassVar[ReasonCode]
    REASON_CODE_LIMIT_KEY_MISSING: _ClassVar[ReasonCode]
    REASON_CODE_LIMIT_NOT_COUNTED: _ClassVar[ReasonCode]
    REASON_CODE_LIMIT_COST_INVALID: _ClassVar[ReasonCode]
    REASON_CODE_LIMIT_STORE_UNAVAILABLE: _ClassVar[ReasonCode]
    REASON_CODE_LIMIT_COUNTED_LOCALLY: _ClassVar[ReasonCode]
    REASON_CODE_FACT_UNAVAILABLE: _ClassVar[ReasonCode]

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_FIELD_REQUIRED: _ClassVar[ErrorReason]
    ERROR_REASON_FIELD_OUT_OF_RANGE: _ClassVar[ErrorReason]
    ERROR_REASON_ENUM_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_NUMBER_NOT_FINITE: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_DEEP: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_DUPLICATE: _ClassVar[ErrorReason]
    ERROR_REASON_FIELD_MALFORMED: _ClassVar[ErrorReason]
    ERROR_REASON_POLICY_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_REVISION_NOT_ACTIVE: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_READY: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE: _ClassVar[ErrorReason]
    ERROR_REASON_OVERLOADED: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]

class DestinationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DESTINATION_KIND_UNSPECIFIED: _ClassVar[DestinationKind]
    DESTINATION_KIND_FUNCTION: _ClassVar[DestinationKind]
    DESTINATION_KIND_SERVICE: _ClassVar[DestinationKind]
    DESTINATION_KIND_EXTERNAL: _ClassVar[DestinationKind]

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_GUARDRAIL: _ClassVar[Tier]
    TIER_ORGANISATION: _ClassVar[Tier]
    TIER_TEAM: _ClassVar[Tier]

class CountedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COUNTED_BY_UNSPECIFIED: _ClassVar[CountedBy]
    COUNTED_BY_MEMORY: _ClassVar[CountedBy]
    COUNTED_BY_SHARED: _ClassVar[CountedBy]
    COUNTED_BY_LEASE: _ClassVar[CountedBy]
    COUNTED_BY_LOCAL: _ClassVar[CountedBy]
QUESTION_UNSPECIFIED: Question
QUESTION_ACCESS: Question
QUESTION_SEGMENTATION: Question
QUESTION_EGRESS: Question
QUESTION_RATE_LIMIT: Question
EFFECT_UNSPECIFIED: Effect
EFFECT_ALLOW: Effect
EFFECT_DENY: Effect
REASON_CODE_UNSPECIFIED: ReasonCode
REASON_CODE_POLICY_ALLOW: ReasonCode
REASON_CODE_POLICY_DENY: ReasonCode
REASON_CODE_DEFAULT_DENY: ReasonCode
REASON_CODE_NOT_ALLOWED: ReasonCode
REASON_CODE_POLICY_ERROR: ReasonCode
REASON_CODE_POLICY_OUTPUT_INVALID: ReasonCode
REASON_CODE_POLICY_TIMEOUT: ReasonCode
REASON_CODE_POLICY_INSTRUCTION_LIMIT: ReasonCode
REASON_CODE_POLICY_MEMORY_LIMIT: ReasonCode
REASON_CODE_FAIL_OPEN: ReasonCode
REASON_CODE_FACT_MISSING: ReasonCode
REASON_CODE_FACT_TOO_OLD: ReasonCode
REASON_CODE_RATE_LIMITED: ReasonCode
REASON_CODE_WITHIN_LIMIT: ReasonCode
REASON_CODE_DATA_BLOCKED: ReasonCode
REASON_CODE_DATA_MASKED: ReasonCode
REASON_CODE_PAYLOAD_NOT_SCANNED: ReasonCode
REASON_CODE_NOT_EVALUATED: ReasonCode
REASON_CODE_REQUIRED_POLICY_NOT_APPLIED: ReasonCode
REASON_CODE_LIMIT_KEY_MISSING: ReasonCode
REASON_CODE_LIMIT_NOT_COUNTED: ReasonCode
REASON_CODE_LIMIT_COST_INVALID: ReasonCode
REASON_CODE_LIMIT_STORE_UNAVAILABLE: ReasonCode
REASON_CODE_LIMIT_COUNTED_LOCALLY: ReasonCode
REASON_CODE_FACT_UNAVAILABLE: ReasonCode
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_FIELD_REQUIRED: ErrorReason
ERROR_REASON_FIELD_OUT_OF_RANGE: ErrorReason
ERROR_REASON_ENUM_UNKNOWN: ErrorReason
ERROR_REASON_NUMBER_NOT_FINITE: ErrorReason
ERROR_REASON_TOO_DEEP: ErrorReason
ERROR_REASON_TOO_LARGE: ErrorReason
ERROR_REASON_DUPLICATE: ErrorReason
ERROR_REASON_FIELD_MALFORMED: ErrorReason
ERROR_REASON_POLICY_UNKNOWN: ErrorReason
ERROR_REASON_REVISION_NOT_ACTIVE: ErrorReason
ERROR_REASON_NOT_READY: ErrorReason
ERROR_REASON_DEADLINE: ErrorReason
ERROR_REASON_OVERLOADED: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
DESTINATION_KIND_UNSPECIFIED: DestinationKind
DESTINATION_KIND_FUNCTION: DestinationKind
DESTINATION_KIND_SERVICE: DestinationKind
DESTINATION_KIND_EXTERNAL: DestinationKind
TIER_UNSPECIFIED: Tier
TIER_GUARDRAIL: Tier
TIER_ORGANISATION: Tier
TIER_TEAM: Tier
COUNTED_BY_UNSPECIFIED: CountedBy
COUNTED_BY_MEMORY: CountedBy
COUNTED_BY_SHARED: CountedBy
COUNTED_BY_LEASE: CountedBy
COUNTED_BY_LOCAL: CountedBy

class ErrorDetail(_message.Message):
    __slots__ = ("reason", "field", "message", "grpc_code")
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    GRPC_CODE_FIELD_NUMBER: _ClassVar[int]
    reason: ErrorReason
    field: str
    message: str
    grpc_code: int
    def __init__(self, reason: _Optional[_Union[ErrorReason, str]] = ..., field: _Optional[str] = ..., message: _Optional[str] = ..., grpc_code: _Optional[int] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("request_id", "tenant", "questions", "subject", "action", "resource", "function", "destination", "transport", "http", "payload", "limit", "device", "location", "behaviour", "context", "policy_revision", "required_policy_ids")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOUR_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_POLICY_IDS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    questions: _containers.RepeatedScalarFieldContainer[Question]
    subject: Subject
    action: str
    resource: Resource
    function: Function
    destination: Destination
    transport: Transport
    http: HttpRequest
    payload: Payload
    limit: LimitSpend
    device: Device
    location: Location
    behaviour: Behaviour
    context: _struct_pb2.Struct
    policy_revision: str
    required_policy_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., questions: _Optional[_Iterable[_Union[Question, str]]] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., action: _Optional[str] = ..., resource: _Optional[_Union[Resource, _Mapping]] = ..., function: _Optional[_Union[Function, _Mapping]] = ..., destination: _Optional[_Union[Destination, _Mapping]] = ..., transport: _Optional[_Union[Transport, _Mapping]] = ..., http: _Optional[_Union[HttpRequest, _Mapping]] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ..., limit: _Optional[_Union[LimitSpend, _Mapping]] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., location: _Optional[_Union[Location, _Mapping]] = ..., behaviour: _Optional[_Union[Behaviour, _Mapping]] = ..., context: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., policy_revision: _Optional[str] = ..., required_policy_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Subject(_message.Message):
    __slots__ = ("id", "type", "roles", "groups", "attributes", "authentication")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    attributes: _struct_pb2.Struct
    authentication: str
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[str]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., authentication: _Optional[str] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("id", "type", "owner", "labels", "attributes")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    owner: str
    labels: _containers.ScalarMap[str, str]
    attributes: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., owner: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Function(_message.Message):
    __slots__ = ("id", "labels", "roles", "environment", "version", "attributes")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    labels: _containers.ScalarMap[str, str]
    roles: _containers.RepeatedScalarFieldContainer[str]
    environment: str
    version: str
    attributes: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., roles: _Optional[_Iterable[str]] = ..., environment: _Optional[str] = ..., version: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Destination(_message.Message):
    __slots__ = ("id", "kind", "host", "port", "labels", "attributes")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: DestinationKind
    host: str
    port: int
    labels: _containers.ScalarMap[str, str]
    attributes: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[DestinationKind, str]] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Transport(_message.Message):
    __slots__ = ("source_ip", "tls_version", "tls_cipher", "server_name", "peer_identity", "encrypted")
    SOURCE_IP_FIELD_NUMBER: _ClassVar[int]
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    TLS_CIPHER_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    source_ip: str
    tls_version: str
    tls_cipher: str
    server_name: str
    peer_identity: str
    encrypted: bool
    def __init__(self, source_ip: _Optional[str] = ..., tls_version: _Optional[str] = ..., tls_cipher: _Optional[str] = ..., server_name: _Optional[str] = ..., peer_identity: _Optional[str] = ..., encrypted: _Optional[bool] = ...) -> None: ...

class HttpRequest(_message.Message):
    __slots__ = ("method", "path", "host", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    method: str
    path: str
    host: str
    headers: _containers.ScalarMap[str, str]
    def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ..., host: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("content", "content_type")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    content_type: str
    def __init__(self, content: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...

class LimitSpend(_message.Message):
    __slots__ = ("hits", "descriptors", "preview", "report_later")
    class DescriptorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HITS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTORS_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    REPORT_LATER_FIELD_NUMBER: _ClassVar[int]
    hits: int
    descriptors: _containers.ScalarMap[str, str]
    preview: bool
    report_later: bool
    def __init__(self, hits: _Optional[int] = ..., descriptors: _Optional[_Mapping[str, str]] = ..., preview: _Optional[bool] = ..., report_later: _Optional[bool] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("id", "managed", "compliant", "os", "os_version", "disk_encrypted", "observed_at", "attributes")
    ID_FIELD_NUMBER: _ClassVar[int]
    MANAGED_FIELD_NUMBER: _ClassVar[int]
    COMPLIANT_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    OS_VERSION_FIELD_NUMBER: _ClassVar[int]
    DISK_ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    managed: bool
    compliant: bool
    os: str
    os_version: str
    disk_encrypted: bool
    observed_at: _timestamp_pb2.Timestamp
    attributes: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., managed: _Optional[bool] = ..., compliant: _Optional[bool] = ..., os: _Optional[str] = ..., os_version: _Optional[str] = ..., disk_encrypted: _Optional[bool] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Location(_message.Message):
    __slots__ = ("country", "region", "asn", "anonymous", "observed_at")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ASN_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    country: str
    region: str
    asn: int
    anonymous: bool
    observed_at: _timestamp_pb2.Timestamp
    def __init__(self, country: _Optional[str] = ..., region: _Optional[str] = ..., asn: _Optional[int] = ..., anonymous: _Optional[bool] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Behaviour(_message.Message):
    __slots__ = ("score", "signals", "observed_at")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    score: float
    signals: _containers.RepeatedScalarFieldContainer[str]
    observed_at: _timestamp_pb2.Timestamp
    def __init__(self, score: _Optional[float] = ..., signals: _Optional[_Iterable[str]] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("request_id", "decision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decision: Decision
    def __init__(self, request_id: _Optional[str] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("effect", "decision_id", "policy_revision", "verdicts", "obligations", "limits", "findings", "masked_payload", "facts", "cacheable_for", "shadow", "usage_token", "memoised")
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    OBLIGATIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    MASKED_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    CACHEABLE_FOR_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    USAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MEMOISED_FIELD_NUMBER: _ClassVar[int]
    effect: Effect
    decision_id: str
    policy_revision: str
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    obligations: _containers.RepeatedCompositeFieldContainer[Obligation]
    limits: _containers.RepeatedCompositeFieldContainer[LimitStatus]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    masked_payload: bytes
    facts: _containers.RepeatedCompositeFieldContainer[FactUse]
    cacheable_for: _duration_pb2.Duration
    shadow: _containers.RepeatedCompositeFieldContainer[ShadowResult]
    usage_token: bytes
    memoised: bool
    def __init__(self, effect: _Optional[_Union[Effect, str]] = ..., decision_id: _Optional[str] = ..., policy_revision: _Optional[str] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., obligations: _Optional[_Iterable[_Union[Obligation, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[LimitStatus, _Mapping]]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., masked_payload: _Optional[bytes] = ..., facts: _Optional[_Iterable[_Union[FactUse, _Mapping]]] = ..., cacheable_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., shadow: _Optional[_Iterable[_Union[ShadowResult, _Mapping]]] = ..., usage_token: _Optional[bytes] = ..., memoised: _Optional[bool] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("question", "effect", "reasons", "evaluated")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_FIELD_NUMBER: _ClassVar[int]
    question: Question
    effect: Effect
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    evaluated: bool
    def __init__(self, question: _Optional[_Union[Question, str]] = ..., effect: _Optional[_Union[Effect, str]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., evaluated: _Optional[bool] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "policy_id", "detail_code", "message", "tier")
    CODE_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    code: ReasonCode
    policy_id: str
    detail_code: str
    message: str
    tier: Tier
    def __init__(self, code: _Optional[_Union[ReasonCode, str]] = ..., policy_id: _Optional[str] = ..., detail_code: _Optional[str] = ..., message: _Optional[str] = ..., tier: _Optional[_Union[Tier, str]] = ...) -> None: ...

class Obligation(_message.Message):
    __slots__ = ("type", "policy_id", "parameters")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    type: str
    policy_id: str
    parameters: _struct_pb2.Struct
    def __init__(self, type: _Optional[str] = ..., policy_id: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class LimitStatus(_message.Message):
    __slots__ = ("policy_id", "name", "limit", "remaining", "reset_after", "retry_after", "admitted", "counted_by", "overshoot")
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESET_AFTER_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    COUNTED_BY_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    name: str
    limit: int
    remaining: int
    reset_after: _duration_pb2.Duration
    retry_after: _duration_pb2.Duration
    admitted: bool
    counted_by: CountedBy
    overshoot: int
    def __init__(self, policy_id: _Optional[str] = ..., name: _Optional[str] = ..., limit: _Optional[int] = ..., remaining: _Optional[int] = ..., reset_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., admitted: _Optional[bool] = ..., counted_by: _Optional[_Union[CountedBy, str]] = ..., overshoot: _Optional[int] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("detector", "category", "start", "end", "confidence", "action", "policy_id")
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    detector: str
    category: str
    start: int
    end: int
    confidence: float
    action: str
    policy_id: str
    def __init__(self, detector: _Optional[str] = ..., category: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., confidence: _Optional[float] = ..., action: _Optional[str] = ..., policy_id: _Optional[str] = ...) -> None: ...

class FactUse(_message.Message):
    __slots__ = ("name", "age", "version", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    age: _duration_pb2.Duration
    version: int
    source: str
    def __init__(self, name: _Optional[str] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., version: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class ShadowResult(_message.Message):
    __slots__ = ("policy_id", "question", "effect", "would_change", "reasons")
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    WOULD_CHANGE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    question: Question
    effect: Effect
    would_change: bool
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    def __init__(self, policy_id: _Optional[str] = ..., question: _Optional[_Union[Question, str]] = ..., effect: _Optional[_Union[Effect, str]] = ..., would_change: _Optional[bool] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ...) -> None: ...

class CheckBatchRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[CheckRequest]
    def __init__(self, items: _Optional[_Iterable[_Union[CheckRequest, _Mapping]]] = ...) -> None: ...

class CheckBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CheckResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CheckResult, _Mapping]]] = ...) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("request_id", "decision", "error")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decision: Decision
    error: ErrorDetail
    def __init__(self, request_id: _Optional[str] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., error: _Optional[_Union[ErrorDetail, _Mapping]] = ...) -> None: ...

class CheckStreamRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: CheckRequest
    def __init__(self, request: _Optional[_Union[CheckRequest, _Mapping]] = ...) -> None: ...

class CheckStreamResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: CheckResult
    def __init__(self, result: _Optional[_Union[CheckResult, _Mapping]] = ...) -> None: ...

class ReportUsageRequest(_message.Message):
    __slots__ = ("usage_token", "hits")
    USAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    usage_token: bytes
    hits: int
    def __init__(self, usage_token: _Optional[bytes] = ..., hits: _Optional[int] = ...) -> None: ...

class ReportUsageResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[LimitStatus]
    def __init__(self, limits: _Optional[_Iterable[_Union[LimitStatus, _Mapping]]] = ...) -> None: ...
