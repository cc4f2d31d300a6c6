"""Cases in the format of cel-spec's suite."""

from __future__ import annotations

import base64
import importlib
import math
import re
import sys
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.errors import PdpError
from pdp.policy.conformance._outcome import Case, Class

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRAPPERS = {
    "BoolValue": "bool",
    "Int32Value": "int",
    "Int64Value": "int",
    "UInt32Value": "uint",
    "UInt64Value": "uint",
    "FloatValue": "double",
    "DoubleValue": "double",
    "StringValue": "string",
    "BytesValue": "bytes",
}


def read_cases(directory: Path) -> Iterator[Case]:
    """Every case in `directory`'s `testdata`, by file.

    Raises:
        PdpError: When the suite's message types cannot be compiled.
    """
    from google.protobuf import text_format  # noqa: PLC0415 - only this suite needs it

    simple = _compiled(directory / "proto")
    for path in sorted((directory / "testdata").glob("*.textproto")):
        # Python's reader of text protobuf does not know the escape `\?`.
        text = re.sub(r"(?<!\\)((?:\\\\)*)\\\?", r"\1?", path.read_text(encoding="utf-8"))
        suite = text_format.Parse(text, simple.SimpleTestFile())
        for section in suite.section:
            for test in section.test:
                yield _case(path.stem, f"{section.name}/{test.name}", test)


def judge(case: Case, answer: dict[str, Any]) -> tuple[Class, str]:
    """How `answer` compares with what `case` expects, and what came where it is wrong."""
    if "crash" in answer:
        return Class.CRASH, str(answer["crash"])
    if "refused" in answer:
        return Class.REFUSED, ""
    if "failed" in answer:
        return (Class.PASS, "") if case.expected is None else (Class.FAILED, answer["failed"])
    came = answer["value"]
    if case.expected is None:
        return Class.MISSED, str(came)
    return (Class.PASS, "") if _key(came) == _key(case.expected) else (Class.WRONG, str(came))


def _compiled(protos: Path) -> Any:
    """The module of the suite's own message types, compiled at run time."""
    from grpc_tools import protoc  # noqa: PLC0415 - a development dependency

    # The modules stay importable for as long as the process lives.
    target = tempfile.mkdtemp(prefix="pdp-conformance-")
    files = [str(path) for path in sorted(protos.rglob("*.proto"))]
    builtin = Path(protoc.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{protos}", f"-I{builtin}", f"--python_out={target}", *files])
    if code != 0:
        raise PdpError(f"`{protos}` does not compile")
    sys.path.insert(0, target)
    try:
        for path in sorted(Path(target).rglob("*_pb2.py")):
            name = ".".join(path.relative_to(target).with_suffix("").parts)
            importlib.import_module(name)
        return importlib.import_module("cel.expr.conformance.test.simple_pb2")
    finally:
        sys.path.remove(target)


def _case(group: str, name: str, test: Any) -> Case:
    matcher = test.WhichOneof("result_matcher")
    skip = _skip(test, matcher)
    if skip:
        return Case("cel", group, name, {}, skip=skip)
    bindings = {name: _tagged(value.value) for name, value in test.bindings.items()}
    question = {"expression": test.expr, "bindings": bindings}
    if matcher in {"eval_error", "any_eval_errors"}:
        return Case("cel", group, name, question)
    if matcher == "value":
        return Case("cel", group, name, question, _tagged(test.value))
    if matcher == "typed_result":
        return Case("cel", group, name, question, _tagged(test.typed_result.result))
    return Case("cel", group, name, question, {"bool": True})


def _skip(test: Any, matcher: str | None) -> str:
    if test.check_only:
        return "asserts a deduced type only; there is no type checker"
    if test.disable_macros:
        return "turns macros off, which a policy cannot"
    if test.container:
        return "resolves names in a container, which policies do not have"
    if matcher in {"unknown", "any_unknowns"}:
        return "asserts unknown values; there is no partial evaluation"
    return ""


def _tagged(value: Any) -> dict[str, Any]:  # noqa: PLR0911 - one answer a kind
    """A suite's value as the core tags it; a message as `{"message": name}`."""
    kind = value.WhichOneof("kind")
    match kind:
        case "null_value" | None:
            return {"null": None}
        case "bool_value" | "string_value":
            return {kind.removesuffix("_value"): getattr(value, kind)}
        case "int64_value" | "uint64_value":
            return {kind.removesuffix("64_value"): str(getattr(value, kind))}
        case "double_value":
            return {"double": _double(value.double_value)}
        case "bytes_value":
            return {"bytes": base64.b64encode(value.bytes_value).decode()}
        case "list_value":
            return {"list": [_tagged(one) for one in value.list_value.values]}
        case "map_value":
            return {"map": [[_tagged(one.key), _tagged(one.value)] for one in value.map_value.entries]}
        case "type_value":
            return {"type": value.type_value}
        case "object_value":
            return _tagged_message(value.object_value)
        case _:
            return {"message": kind}


def _tagged_message(packed: Any) -> dict[str, Any]:
    """A well-known message as the value it stands for."""
    from google.protobuf import (  # noqa: PLC0415 - only this suite needs them
        descriptor_pool,
        duration_pb2,
        message_factory,
        timestamp_pb2,
    )

    name = packed.TypeName()
    described = descriptor_pool.Default().FindMessageTypeByName(name)
    message: Any = message_factory.GetMessageClass(described)()
    packed.Unpack(message)
    if name == timestamp_pb2.Timestamp.DESCRIPTOR.full_name:
        return {"timestamp": message.ToJsonString()}
    if name == duration_pb2.Duration.DESCRIPTOR.full_name:
        return {"duration": message.ToJsonString()}
    short = name.removeprefix("google.protobuf.")
    if short in _WRAPPERS:
        tag = _WRAPPERS[short]
        content = message.value
        if tag in {"int", "uint"}:
            return {tag: str(content)}
        if tag == "bytes":
            return {tag: base64.b64encode(content).decode()}
        return {tag: _double(content) if tag == "double" else content}
    return {"message": name}


def _double(number: float) -> float | str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _key(tagged: Any) -> Any:  # noqa: PLR0911 - one answer a tag
    """A tagged value as a comparable one: maps without order, times by instant, zero without a sign."""
    ((tag, content),) = tagged.items()
    match tag:
        case "list":
            return tag, tuple(_key(one) for one in content)
        case "map":
            return tag, frozenset((_key(key), _key(value)) for key, value in content)
        case "double":
            return tag, content if isinstance(content, str) else float(content) + 0.0
        case "timestamp":
            return tag, _instant(content)
        case "duration":
            return tag, Decimal(content.removesuffix("s"))
        case "bytes":
            return tag, content.rstrip("=")
        case _:
            return tag, content


def _instant(text: str) -> tuple[int, str]:
    """Seconds since 1970 and the fraction's digits, because `datetime` drops nanoseconds."""
    fraction = re.search(r"\.(\d+)", text)
    whole = re.sub(r"\.\d+", "", text)
    moment = datetime.fromisoformat(whole)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()), (
        fraction[1].rstrip("0") if fraction else ""
    )
