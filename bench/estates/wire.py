"""Writes protobuf messages by field number, so that peers' contracts need not be copied here.

See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import struct_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTINUED = 0x80


def varint(value: int) -> bytes:
    """A base-128 varint."""
    out = bytearray()
    while value >= _CONTINUED:
        out.append(value & 0x7F | _CONTINUED)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, content: bytes | str) -> bytes:
    """A length-delimited field: text, bytes or a message."""
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def attributes(number: int, values: Mapping[str, object]) -> bytes:
    """A `map<string, google.protobuf.Value>` field."""
    document = struct_pb2.Struct()
    document.update(values)
    return b"".join(
        field(number, field(1, key) + field(2, value.SerializeToString()))
        for key, value in sorted(document.fields.items())
    )
