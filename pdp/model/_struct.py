"""Reads protobuf's open values."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """A protobuf struct, value or list as plain Python values; whole numbers as int."""
    if hasattr(value, "fields"):
        return {key: plain(one) for key, one in value.fields.items()}
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return plain(value.struct_value)
    if kind == "list_value":
        return [plain(one) for one in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    return None if kind in {None, "null_value"} else getattr(value, kind)
