"""Requests with the decisions they must get, read from YAML.

A file holds `given`, requests by name, and `cases`. A case takes a request `from`
there, or has a `request` of its own, changes it by `set` and `unset` (dotted paths),
may store facts first (`stored_facts`: documents with `kind`, `id`, `value` and where
wanted `version`, `source` and `age`, such as `20m`), and says what to `expect`:
`effect`, verdicts by question (`effect`, `codes`, `details`, `policy_ids`),
`obligations`, `findings`, `limits`, `shadow` and `masked_hides`, texts that the masked
payload must not hold. Of a mapping the expected keys are compared; a list must be as
long as expected.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from pdp.errors import DocumentError
from pdp.model import CheckRequest, Decision, FactPut, puts_from_document, request_from_mapping

if TYPE_CHECKING:
    from pathlib import Path

_CASE_KEYS = frozenset({"name", "from", "request", "set", "unset", "stored_facts", "expect"})
_LISTS = ("obligations", "findings", "limits", "shadow")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_EXPECT_KEYS = frozenset({"effect", "questions", "masked_hides", *_LISTS})


@dataclass(frozen=True, slots=True)
class Case:
    """A request and what it must get.

    Attributes:
        name: Name, which states a property.
        file: File it stands in.
        request: The request.
        expect: What it must get.
        stored_facts: Facts to store before it is asked.
    """

    name: str
    file: str
    request: CheckRequest
    expect: Mapping[str, Any]
    stored_facts: tuple[FactPut, ...] = ()


def read_cases(file: Path) -> tuple[Case, ...]:
    """The cases in a file.

    Raises:
        DocumentError: When the file does not have the documented form.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as fault:
        raise DocumentError(str(file), f"cannot be read: {' '.join(str(fault).split())}") from fault
    if not isinstance(document, dict) or not isinstance(document.get("cases"), list):
        raise DocumentError(str(file), "must hold a list `cases`")
    given = document.get("given") or {}
    return tuple(_case(one, given, f"{file}: cases[{at}]") for at, one in enumerate(document["cases"]))


def _case(entry: Any, given: Mapping[str, Any], path: str) -> Case:
    """A case from its entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise DocumentError(path, "must be a mapping with a `name`")
    unknown = [key for key in entry if key not in _CASE_KEYS]
    unknown += [f"expect.{key}" for key in entry.get("expect", ()) if key not in _EXPECT_KEYS]
    if unknown:
        raise DocumentError(f"{path}.{unknown[0]}", "unknown key")
    if ("from" in entry) == ("request" in entry):
        raise DocumentError(path, "needs either `from` or `request`")
    if "from" in entry and entry["from"] not in given:
        raise DocumentError(f"{path}.from", f"`{entry['from']}` is not among `given`")
    document = copy.deepcopy(given[entry["from"]] if "from" in entry else entry["request"])
    for dotted, value in (entry.get("set") or {}).items():
        _put(document, dotted.split("."), value)
    for dotted in entry.get("unset") or ():
        _remove(document, dotted.split("."))
    try:
        request = request_from_mapping(document)
    except DocumentError as fault:
        raise DocumentError(f"{path}.{fault.path}", fault.message) from fault
    stored = tuple(
        _stored(one, request.tenant, f"{path}.stored_facts[{at}]")
        for at, one in enumerate(entry.get("stored_facts") or ())
    )
    return Case(entry["name"], path.split(": ", maxsplit=1)[0], request, entry.get("expect") or {}, stored)


def _stored(entry: Any, tenant: str | None, path: str) -> FactPut:
    """A fact to store, whose age counts from now."""
    content = dict(entry) if isinstance(entry, dict) else {}
    age = str(content.pop("age", "0s"))
    parts = re.fullmatch(r"([0-9]{1,9})([smhd])", age)
    if parts is None:
        raise DocumentError(f"{path}.age", f"`{age}` is no duration: write a number and s, m, h or d")
    observed_at = datetime.now(UTC) - timedelta(seconds=int(parts[1]) * _UNITS[parts[2]])
    try:
        (put,) = puts_from_document({"tenant": tenant or "", **content}, source="case")
    except DocumentError as fault:
        raise DocumentError(f"{path}.{fault.path}", fault.message) from fault
    return replace(put, observed_at=put.observed_at or observed_at)


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def _remove(document: dict[str, Any], path: list[str]) -> None:
    for part in path[:-1]:
        document = document.get(part) or {}
    document.pop(path[-1], None)


def mismatches(case: Case, decision: Decision) -> tuple[str, ...]:
    """What differs between the expected and the actual decision, one line each."""
    actual = decision.to_mapping()
    found: list[str] = []
    expect = case.expect
    if "effect" in expect:
        _compare("effect", expect["effect"], actual["effect"], found)
    verdicts = {one["question"]: one for one in actual.get("verdicts", ())}
    for question, wanted in (expect.get("questions") or {}).items():
        verdict = verdicts.get(question)
        if verdict is None:
            found.append(f"{question}: was not answered")
        else:
            _compare(question, wanted, _flat(verdict), found)
    for name in _LISTS:
        if name in expect:
            _compare(name, expect[name], actual.get(name, []), found)
    hidden = expect.get("masked_hides") or ()
    masked = actual.get("masked_payload")
    if hidden and masked is None:
        found.append("masked_payload: there is none")
    found.extend(f"masked_payload: shows `{text}`" for text in hidden if text in (masked or ""))
    return tuple(found)


def _flat(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict with its reasons' parts as lists."""
    reasons = verdict.get("reasons", ())
    return {
        "effect": verdict["effect"],
        "codes": [one["code"] for one in reasons],
        "details": [one["detail_code"] for one in reasons if "detail_code" in one],
        "policy_ids": [one["policy_id"] for one in reasons if "policy_id" in one],
    }


def _compare(path: str, wanted: Any, actual: Any, found: list[str]) -> None:
    """Adds a line for each difference."""
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        for key, value in wanted.items():
            _compare(f"{path}.{key}", value, actual.get(key), found)
    elif isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual):
        for at, (one, other) in enumerate(zip(wanted, actual, strict=True)):
            _compare(f"{path}[{at}]", one, other, found)
    elif wanted != actual:
        found.append(f"{path}: expected {wanted!r}, came {actual!r}")
