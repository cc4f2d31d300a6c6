import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
    __slots__ = ("version", "policy_revision", "loaded_at", "policies", "last_failure")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    LOADED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_FIELD_NUMBER: _ClassVar[int]
    version: str
    policy_revision: str
    loaded_at: _timestamp_pb2.Timestamp
    policies: _containers.RepeatedCompositeFieldContainer[PolicyStatus]
    last_failure: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    def __init__(self, version: _Optional[str] = ..., policy_revision: _Optional[str] = ..., loaded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policies: _Optional[_Iterable[_Union[PolicyStatus, _Mapping]]] = ..., last_failure: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ...) -> None: ...

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
