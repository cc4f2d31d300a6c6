"""Reads requests from JSON or YAML documents; unknown keys are refused with their path."""

from __future__ import annotations

import base64
import binascii
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from pdp.errors import DocumentError
from pdp.model._enums import DestinationKind, Question
from pdp.model._parts import Payload
from pdp.model._request import CheckRequest

_DEPTH = 64


def request_from_mapping(document: Any) -> CheckRequest:
    """The request that `document` describes, with the contract's field names.

    Questions may be spelt `rate_limit`, `rate-limit` or `QUESTION_RATE_LIMIT`; a payload's
    bytes are `content` (text) or `content_base64`; times are RFC 3339 texts.

    Raises:
        DocumentError: When a key is unknown, missing or holds another type.
    """
    return typing.cast("CheckRequest", _build(CheckRequest, document, ""))


def _build(cls: type[Any], document: Any, path: str) -> Any:
    """A value of the dataclass `cls` from a mapping."""
    if not isinstance(document, Mapping):
        raise DocumentError(path, f"must be a mapping, not {_kind(document)}")
    if cls is Payload:
        document = _payload_document(document, path)
    hints = _hints(cls)
    for key in document:
        if key not in hints:
            known = ", ".join(f"`{name}`" for name in hints)
            raise DocumentError(_join(path, str(key)), f"unknown key; known keys are {known}")
    values = {key: _decode(hints[key], value, _join(path, key)) for key, value in document.items()}
    for one in fields(cls):
        if one.default is MISSING and one.name not in values:
            raise DocumentError(_join(path, one.name), "required but missing")
    return cls(**values)


def _hints(cls: Any) -> dict[str, Any]:
    """Names and types of the fields of `cls`."""
    return typing.get_type_hints(cls)


def _decode(hint: Any, value: Any, path: str) -> Any:
    """`value` as the type `hint`."""
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = next(one for one in arguments if one is not type(None))
        return None if value is None else _decode(inner, value, path)
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(hint, value, path)
    if typing.get_origin(hint) is tuple:
        return tuple(
            _decode(arguments[0], one, f"{path}[{index}]") for index, one in enumerate(_list(value, path))
        )
    if typing.get_origin(hint) is Mapping:
        return _mapping(arguments[1], value, path)
    return _SCALARS[hint](value, path)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise DocumentError(path, f"must be a list, not {_kind(value)}")
    return list(value)


def _mapping(hint: Any, value: Any, path: str) -> dict[str, Any]:
    """A mapping with text keys; `hint` is the values' type."""
    if not isinstance(value, Mapping):
        raise DocumentError(path, f"must be a mapping, not {_kind(value)}")
    decode = _open if hint is Any else _text
    return {_text(key, path): decode(one, _join(path, str(key))) for key, one in value.items()}


def _open(value: Any, path: str, depth: int = 0) -> Any:
    """An open value: what JSON can hold, with dates as texts."""
    if depth > _DEPTH:
        raise DocumentError(path, f"nested more than {_DEPTH} levels deep")
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return [_open(one, f"{path}[{index}]", depth + 1) for index, one in enumerate(value)]
        case Mapping():
            return {
                _text(key, path): _open(one, _join(path, str(key)), depth + 1) for key, one in value.items()
            }
        case _:
            return str(value)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise DocumentError(path, f"must be a text, not {_kind(value)}; quote it")
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise DocumentError(path, f"must be true or false, not {_kind(value)}")
    return value


def _integer(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DocumentError(path, f"must be a whole number, not {_kind(value)}")
    return value


def _number(value: Any, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DocumentError(path, f"must be a number, not {_kind(value)}")
    return float(value)


def _bytes(value: Any, path: str) -> bytes:
    return value if isinstance(value, bytes) else _text(value, path).encode()


def _time(value: Any, path: str) -> datetime:
    """A moment; YAML reads timestamps itself and drops a missing zone, which RFC 3339 requires."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value, path))
    except ValueError as fault:
        raise DocumentError(path, f"`{value}` is not a time such as 2026-01-31T12:00:00Z") from fault
    if moment.tzinfo is None:
        raise DocumentError(path, f"`{value}` has no zone; add `Z` or an offset")
    return moment.astimezone(UTC)


def _question(value: Any, path: str) -> Question:
    name = _text(value, path).removeprefix("QUESTION_").lower().replace("-", "_")
    try:
        return Question(name)
    except ValueError as fault:
        known = ", ".join(f"`{one}`" for one in Question)
        raise DocumentError(path, f"`{value}` is not a question; use one of {known}") from fault


def _destination_kind(value: Any, path: str) -> DestinationKind:
    try:
        return DestinationKind(_text(value, path).removeprefix("DESTINATION_KIND_").lower())
    except ValueError as fault:
        known = ", ".join(f"`{one}`" for one in DestinationKind)
        raise DocumentError(path, f"`{value}` is not a kind of destination; use one of {known}") from fault


_SCALARS: dict[Any, Callable[[Any, str], Any]] = {
    str: _text,
    bool: _boolean,
    int: _integer,
    float: _number,
    bytes: _bytes,
    datetime: _time,
    Question: _question,
    DestinationKind: _destination_kind,
}


_KINDS: tuple[tuple[Any, str], ...] = (
    (bool, "a boolean"),  # before numbers: Python's booleans are integers
    (int | float, "a number"),
    (str, "a text"),
    (list | tuple, "a list"),
    (Mapping, "a mapping"),
)


def _payload_document(document: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The payload's document with `content_base64` turned into `content`."""
    if "content_base64" not in document:
        return document
    if "content" in document:
        raise DocumentError(path, "has both `content` and `content_base64`; keep one")
    try:
        content = base64.b64decode(
            _text(document["content_base64"], _join(path, "content_base64")), validate=True
        )
    except (binascii.Error, ValueError) as fault:
        raise DocumentError(_join(path, "content_base64"), "is not base64") from fault
    return {**{key: one for key, one in document.items() if key != "content_base64"}, "content": content}


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind(value: Any) -> str:
    """The type of a value in a document's own words."""
    if value is None:
        return "null"
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    return type(value).__name__
