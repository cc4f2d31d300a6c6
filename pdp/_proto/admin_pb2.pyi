import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from pdp._proto import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FactKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FACT_KIND_UNSPECIFIED: _ClassVar[FactKind]
    FACT_KIND_SUBJECT: _ClassVar[FactKind]
    FACT_KIND_DEVICE: _ClassVar[FactKind]
    FACT_KIND_FUNCTION: _ClassVar[FactKind]
    FACT_KIND_DESTINATION: _ClassVar[FactKind]
FACT_KIND_UNSPECIFIED: FactKind
FACT_KIND_SUBJECT: FactKind
FACT_KIND_DEVICE: FactKind
FACT_KIND_FUNCTION: FactKind
FACT_KIND_DESTINATION: FactKind

class ReloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("policy_revision", "changed", "policies")
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    policy_revision: str
    changed: bool
    policies: int
    def __init__(self, policy_revision: _Optional[str] = ..., changed: _Optional[bool] = ..., policies: _Optional[int] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "policy_revision", "loaded_at", "policies", "last_failure", "state")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    LOADED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    version: str
    policy_revision: str
    loaded_at: _timestamp_pb2.Timestamp
    policies: _containers.RepeatedCompositeFieldContainer[PolicyStatus]
    last_failure: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    state: StateStatus
    def __init__(self, version: _Optional[str] = ..., policy_revision: _Optional[str] = ..., loaded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policies: _Optional[_Iterable[_Union[PolicyStatus, _Mapping]]] = ..., last_failure: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., state: _Optional[_Union[StateStatus, _Mapping]] = ...) -> None: ...

class StateStatus(_message.Message):
    __slots__ = ("kind", "available", "since", "last_failure", "nodes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    available: bool
    since: _timestamp_pb2.Timestamp
    last_failure: str
    nodes: int
    def __init__(self, kind: _Optional[str] = ..., available: _Optional[bool] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_failure: _Optional[str] = ..., nodes: _Optional[int] = ...) -> None: ...

class PolicyStatus(_message.Message):
    __slots__ = ("id", "kind", "engine", "tier", "mode")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    engine: str
    tier: str
    mode: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., engine: _Optional[str] = ..., tier: _Optional[str] = ..., mode: _Optional[str] = ...) -> None: ...

class Diagnostic(_message.Message):
    __slots__ = ("file", "row", "column", "code", "message")
    FILE_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    file: str
    row: int
    column: int
    code: str
    message: str
    def __init__(self, file: _Optional[str] = ..., row: _Optional[int] = ..., column: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class FactName(_message.Message):
    __slots__ = ("tenant", "kind", "id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    kind: FactKind
    id: str
    def __init__(self, tenant: _Optional[str] = ..., kind: _Optional[_Union[FactKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class Fact(_message.Message):
    __slots__ = ("name", "value", "version", "source", "observed_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    name: FactName
    value: _struct_pb2.Struct
    version: int
    source: str
    observed_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[_Union[FactName, _Mapping]] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., version: _Optional[int] = ..., source: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PutFactsRequest(_message.Message):
    __slots__ = ("facts", "ttl")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    ttl: _duration_pb2.Duration
    def __init__(self, facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PutFactsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, versions: _Optional[_Iterable[int]] = ...) -> None: ...

class GetFactsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedCompositeFieldContainer[FactName]
    def __init__(self, names: _Optional[_Iterable[_Union[FactName, _Mapping]]] = ...) -> None: ...

class GetFactsResponse(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    def __init__(self, facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ...) -> None: ...

class DeleteFactsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedCompositeFieldContainer[FactName]
    def __init__(self, names: _Optional[_Iterable[_Union[FactName, _Mapping]]] = ...) -> None: ...

class DeleteFactsResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class WatchFactsRequest(_message.Message):
    __slots__ = ("tenants", "kinds")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[FactKind]
    def __init__(self, tenants: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[FactKind, str]]] = ...) -> None: ...

class WatchFactsResponse(_message.Message):
    __slots__ = ("fact", "deleted")
    FACT_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    fact: Fact
    deleted: bool
    def __init__(self, fact: _Optional[_Union[Fact, _Mapping]] = ..., deleted: _Optional[bool] = ...) -> None: ...

class LimitCounter(_message.Message):
    __slots__ = ("policy_id", "limit", "tenant", "key")
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    limit: str
    tenant: str
    key: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, policy_id: _Optional[str] = ..., limit: _Optional[str] = ..., tenant: _Optional[str] = ..., key: _Optional[_Iterable[str]] = ...) -> None: ...

class InspectLimitRequest(_message.Message):
    __slots__ = ("counter",)
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    counter: LimitCounter
    def __init__(self, counter: _Optional[_Union[LimitCounter, _Mapping]] = ...) -> None: ...

class InspectLimitResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _decision_pb2.LimitStatus
    def __init__(self, status: _Optional[_Union[_decision_pb2.LimitStatus, _Mapping]] = ...) -> None: ...

class ResetLimitRequest(_message.Message):
    __slots__ = ("counter",)
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    counter: LimitCounter
    def __init__(self, counter: _Optional[_Union[LimitCounter, _Mapping]] = ...) -> None: ...

class ResetLimitResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class GetTopTalkersRequest(_message.Message):
    __slots__ = ("most",)
    MOST_FIELD_NUMBER: _ClassVar[int]
    most: int
    def __init__(self, most: _Optional[int] = ...) -> None: ...

class GetTopTalkersResponse(_message.Message):
    __slots__ = ("talkers", "since")
    TALKERS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    talkers: _containers.RepeatedCompositeFieldContainer[TopTalker]
    since: _timestamp_pb2.Timestamp
    def __init__(self, talkers: _Optional[_Iterable[_Union[TopTalker, _Mapping]]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TopTalker(_message.Message):
    __slots__ = ("kind", "name", "requests", "error", "refused")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    requests: int
    error: int
    refused: int
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., requests: _Optional[int] = ..., error: _Optional[int] = ..., refused: _Optional[int] = ...) -> None: ...
