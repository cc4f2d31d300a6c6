"""Cases in the format of OPA's own suite."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from pdp.policy.conformance._outcome import Case, Class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's core schema, which OPA's cases are written in: `on` is text and `1e3` a number."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def read_cases(directory: Path) -> Iterator[Case]:
    """Every case below `directory`, by path."""
    for path in sorted(directory.rglob("*.yaml")):
        group = path.relative_to(directory).parts[0]
        with path.open(encoding="utf-8") as stream:
            for document in yaml.load_all(stream, Loader=_Loader):
                for case in (document or {}).get("cases") or ():
                    yield _case(group, case)


def judge(case: Case, answer: dict[str, Any]) -> tuple[Class, str]:
    """How `answer` compares with what `case` expects, and what came where it is wrong."""
    expects_error = case.expected is None
    if "crash" in answer:
        return Class.CRASH, str(answer["crash"])
    if "unposed" in answer:
        return Class.SKIPPED, answer["unposed"]
    if "diagnostics" in answer:
        return Class.REFUSED, ""
    if "error" in answer:
        return (Class.PASS, "") if expects_error else (Class.FAILED, answer["error"])
    came = _canonical_rows(answer["bindings"], case)
    if expects_error:
        return Class.MISSED, json.dumps(came)
    wanted = _canonical_rows(case.expected, case)
    return (Class.PASS, "") if came == wanted else (Class.WRONG, json.dumps(came))


def _case(group: str, case: dict[str, Any]) -> Case:
    question = {
        "modules": [
            {"path": f"module{index}.rego", "text": text}
            for index, text in enumerate(case.get("modules") or ())
        ],
        "data": _json(case.get("data") or {}),
        "query": case["query"],
        "strict": bool(case.get("strict_error", False)),
    }
    if "input_term" in case:
        question["input_term"] = case["input_term"]
    elif "input" in case:
        question["input"] = _json(case["input"])
    wants_error = "want_error_code" in case or "want_error" in case
    expected = None if wants_error else _json(case.get("want_result") or [])
    rules = {"rows": expected, "sort": bool(case.get("sort_bindings"))}
    rules["generated"] = bool(case.get("ignore_generated_vars"))
    return Case("rego", group, case["note"], question, None if wants_error else rules)


def _canonical_rows(rows: Any, case: Case) -> list[str]:
    """Rows as comparable texts; their order means nothing."""
    rules = case.expected or {"sort": False, "generated": False}
    if isinstance(rows, dict):
        rows = rows["rows"]
    texts = []
    for row in rows:
        kept = {
            name: _sorted(value) if rules["sort"] else _plain(value)
            for name, value in row.items()
            if not (rules["generated"] and name.startswith(("__local", "$", "_")))
        }
        texts.append(json.dumps(kept, sort_keys=True))
    return sorted(texts)


def _sorted(value: Any) -> Any:
    """`value` with the elements of a top-level list in a fixed order."""
    plain = _plain(value)
    return (
        sorted(plain, key=lambda one: json.dumps(one, sort_keys=True)) if isinstance(plain, list) else plain
    )


def _plain(value: Any) -> Any:
    """`value` with equal numbers spelt equally."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case _:
            return value


def _json(value: Any) -> Any:
    """YAML's value as JSON's; OPA spells keys that are no text as JSON."""
    match value:
        case dict():
            return {
                key if isinstance(key, str) else json.dumps(key): _json(one) for key, one in value.items()
            }
        case list():
            return [_json(one) for one in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
