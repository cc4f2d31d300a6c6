"""Compares this product's answers with those of a real OPA and of cel-python.

Each policy is taken alone. Its own tests run on both engines, and, where
requests are given, each request that asks the policy's question is answered by
both. Any difference is a wrong answer of one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from pdp import _core
from pdp.errors import RequestError
from pdp.model import Question
from pdp.policy._cel_reference import CelReference, CelReferenceError, expression_value
from pdp.policy._document import input_document
from pdp.policy._manifest import PolicyEntry, read_data, read_entries
from pdp.policy._opa import OpaError, RealOpa, run_opa_tests
from pdp.policy._verdict import IsolatedPolicy, PolicyVerdict, canonical

if TYPE_CHECKING:
    from pathlib import Path

    from pdp.model import CheckRequest

__all__ = ["Difference", "Report", "Skip", "cross_check"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two engines that do not agree.

    Attributes:
        policy_id: The policy.
        case: Name of the test, or of the request.
        ours: What this product says.
        reference: What the reference says.
        against: `opa` or `cel-python`.
    """

    policy_id: str
    case: str
    ours: str
    reference: str
    against: str

    def __str__(self) -> str:
        """The difference in one line."""
        return f"{self.policy_id}: {self.case}: here {self.ours}, {self.against} {self.reference}"


@dataclass(frozen=True, slots=True)
class Skip:
    """A policy that was not compared.

    Attributes:
        policy_id: The policy.
        reason: Why.
    """

    policy_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the comparison came to.

    Attributes:
        compared: Answers compared.
        by_policy: Answers compared, by policy id.
        differences: Where the engines do not agree.
        skipped: Policies that were not compared at all.
    """

    compared: int
    by_policy: Mapping[str, int]
    differences: tuple[Difference, ...]
    skipped: tuple[Skip, ...]

    @property
    def agrees(self) -> bool:
        """Whether something was compared and nothing differs."""
        return self.compared > 0 and not self.differences


def cross_check(
    policies: Path, opa: Path | None, requests: Mapping[str, CheckRequest] | None = None
) -> Report:
    """Compares every policy of the set in `policies`.

    Args:
        policies: Directory of the policy set.
        opa: OPA binary; without it Rego policies are skipped, which the report says.
        requests: Requests by name, besides the policies' own tests.

    Raises:
        PolicySetError: When the set does not build.
    """
    tally = _Tally()
    with ExitStack() as stack:
        server: RealOpa | None = None
        for entry in read_entries(policies):
            try:
                if entry.engine == "cel":
                    reference = CelReference((policies / entry.source).read_text(encoding="utf-8"))
                    _compare_cel_tests(tally, policies, entry, reference)
                    _compare_requests(tally, policies, entry, reference, requests or {})
                elif entry.engine == "limits":
                    _compare_limits(tally, policies, entry, requests or {})
                elif opa is None:
                    tally.skip(entry, "no OPA binary is given")
                else:
                    server = server or stack.enter_context(RealOpa(opa))
                    server.load(policies, entry)
                    _compare_tests(tally, policies, entry, run_opa_tests(opa, policies, entry))
                    _compare_requests(tally, policies, entry, server, requests or {})
            except (OpaError, CelReferenceError) as fault:
                tally.skip(entry, str(fault))
    return tally.report()


class _Reference(Protocol):
    """An engine to compare with."""

    def check(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """What the policy says of an input document."""


class _Tally:
    """Collects the report."""

    def __init__(self) -> None:
        self._by_policy: dict[str, int] = {}
        self._differences: list[Difference] = []
        self._skipped: list[Skip] = []

    def skip(self, entry: PolicyEntry, reason: str) -> None:
        self._skipped.append(Skip(entry.id, reason))

    def compare(self, entry: PolicyEntry, case: str, ours: str, reference: str) -> None:
        self._by_policy[entry.id] = self._by_policy.get(entry.id, 0) + 1
        if ours != reference:
            against = "opa" if entry.engine == "rego" else "cel-python"
            self._differences.append(Difference(entry.id, case, ours, reference, against))

    def report(self) -> Report:
        compared = sum(self._by_policy.values())
        return Report(compared, self._by_policy, tuple(self._differences), tuple(self._skipped))


def _compare_tests(tally: _Tally, policies: Path, entry: PolicyEntry, theirs: Mapping[str, bool]) -> None:
    ours = _test_outcomes(policies, entry)
    for name in sorted(ours.keys() | theirs.keys()):
        tally.compare(entry, name, _word(ours.get(name)), _word(theirs.get(name)))


def _compare_cel_tests(tally: _Tally, policies: Path, entry: PolicyEntry, reference: CelReference) -> None:
    tests = policies / entry.test
    if not tests.is_file():
        return
    text = (policies / entry.source).read_text(encoding="utf-8")
    for one in yaml.safe_load(tests.read_text(encoding="utf-8"))["tests"]:
        document = one.get("input") or {}
        tally.compare(entry, one["name"], _output(entry.source, text, document), reference.value(document))


def _compare_requests(
    tally: _Tally,
    policies: Path,
    entry: PolicyEntry,
    reference: _Reference,
    requests: Mapping[str, CheckRequest],
) -> None:
    asking = _asking(entry, requests)
    if not asking:
        return
    with IsolatedPolicy(policies, entry) as policy:
        for name, request in asking.items():
            try:
                verdict, findings = policy.check(request)
            except RequestError:
                continue  # no policy sees it, so there is nothing to compare
            document = input_document(request, findings)
            tally.compare(entry, name, str(verdict), str(reference.check(document).on(findings)))


def _compare_limits(
    tally: _Tally, policies: Path, entry: PolicyEntry, requests: Mapping[str, CheckRequest]
) -> None:
    """Limits count, which has no reference; their keys and conditions are CEL, which has one."""
    limits = yaml.safe_load((policies / entry.source).read_text(encoding="utf-8"))["limits"]
    for name, request in _asking(entry, requests).items():
        document = input_document(request)
        for limit in limits:
            for role in ("when", "key"):
                if role in limit:
                    case = f"{name}: {limit['name']}: {role}"
                    ours = _expression_value(limit[role], document)
                    tally.compare(entry, case, ours, expression_value(limit[role], document))


def _asking(entry: PolicyEntry, requests: Mapping[str, CheckRequest]) -> dict[str, CheckRequest]:
    """The requests that ask the policy's question."""
    return {name: one for name, one in requests.items() if Question(entry.kind) in one.questions}


def _expression_value(text: str, document: Mapping[str, Any]) -> str:
    """The value of one expression here, compiled against the documented input."""
    policy = {"name": "expression", "rule": {"match": [{"output": text}]}}
    return _output("expression", json.dumps(policy), document)


def _output(path: str, policy: str, document: Mapping[str, Any]) -> str:
    """A CEL policy's output here, as canonical JSON; `ERROR` where it fails."""
    question = {"policy": True, "source": {"path": path, "text": policy}, "bindings": document}
    answer = json.loads(_core.cel_evaluate(json.dumps(question)))
    if "value" in answer:
        return canonical(answer["value"]["output"])
    return "null" if answer.get("undefined") else "ERROR"


def _test_outcomes(policies: Path, entry: PolicyEntry) -> dict[str, bool]:
    """Whether each Rego test of a policy passes here, by `package.name`."""
    names = [entry.source, *entry.libraries]
    tests = [name.removesuffix(".rego") + "_test.rego" for name in names]
    modules = [
        {"path": name, "text": (policies / name).read_text(encoding="utf-8")}
        for name in (*names, *tests)
        if name in names or (policies / name).is_file()
    ]
    question = {"modules": modules, "data": read_data(policies, entry), "kind": entry.kind}
    report = json.loads(_core.rego_tests(json.dumps(question)))
    return {f"{one['suite']}.{one['name']}": one["outcome"] == "pass" for one in report.get("results", ())}


def _word(passed: bool | None) -> str:  # noqa: FBT001 - a value, not a switch
    return "absent" if passed is None else "pass" if passed else "fail"
