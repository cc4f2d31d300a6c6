"""What one policy alone says of a request: the common ground of every engine compared."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pdp.engine import Engine
from pdp.model import Effect, Question, ReasonCode
from pdp.policy._manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from pdp.model import CheckRequest, Decision, Finding
    from pdp.policy._manifest import PolicyEntry

_FAILED = frozenset(
    {
        ReasonCode.POLICY_ERROR,
        ReasonCode.POLICY_OUTPUT_INVALID,
        ReasonCode.POLICY_TIMEOUT,
        ReasonCode.POLICY_INSTRUCTION_LIMIT,
        ReasonCode.POLICY_MEMORY_LIMIT,
    }
)


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What a policy says.

    Attributes:
        effect: `ALLOW`, `DENY` or, where the policy failed, `ERROR`.
        codes: The policy's own codes of its denials, sorted.
        obligations: Obligations of an ALLOW as canonical JSON, sorted.
    """

    effect: str
    codes: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()

    @classmethod
    def allow(cls, obligations: list[Mapping[str, Any]]) -> Self:
        """An ALLOW under `obligations`, each with its `type`."""
        return cls("ALLOW", (), tuple(sorted(canonical(one) for one in obligations)))

    def on(self, findings: Sequence[Finding]) -> PolicyVerdict:
        """The verdict as a decision states it: a mask that covers none of `findings` is not an obligation."""
        found = {one.detector for one in findings} | {one.category for one in findings}
        kept = [one for one in self.obligations if _covers(json.loads(one), found)]
        return replace(self, obligations=tuple(kept))

    @classmethod
    def deny(cls, codes: list[str]) -> Self:
        """A DENY with `codes`."""
        return cls("DENY", tuple(sorted(codes)))

    @classmethod
    def error(cls) -> Self:
        """A failure."""
        return cls("ERROR")

    def __str__(self) -> str:
        """The verdict in one line."""
        return " ".join([self.effect, *self.codes, *self.obligations])


def canonical(value: Any) -> str:
    """`value` as JSON with sorted keys, whole floats as integers: engines print them either way."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _covers(obligation: Mapping[str, Any], found: set[str]) -> bool:
    if obligation.get("type") != "mask":
        return True
    return not found.isdisjoint([*obligation.get("detectors", ()), *obligation.get("categories", ())])


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


class IsolatedPolicy:
    """One policy of a set in an engine of its own: no selectors, no required facts, no other policies."""

    def __init__(self, policies: Path, entry: PolicyEntry) -> None:
        """Builds a set of just this policy over the same files.

        Raises:
            PolicySetError: When it does not build.
        """
        self._question = Question(entry.kind)
        self._directory = tempfile.TemporaryDirectory(prefix="pdp-cross-check-")
        root = Path(self._directory.name)
        for name in sorted({Path(one).parts[0] for one in (entry.source, *entry.libraries, *entry.data)}):
            (root / name).symlink_to((policies / name).resolve())
        alone = {
            "id": entry.id,
            "kind": entry.kind,
            "engine": entry.engine,
            "source": entry.source,
            "libraries": list(entry.libraries),
            "data": list(entry.data),
        }
        manifest = {"version": 1, "policies": [alone]}
        # JSON is YAML.
        (root / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        try:
            self._engine = Engine(root)
        except BaseException:
            self._directory.cleanup()
            raise

    def __enter__(self) -> Self:
        """Returns the policy, whose files go at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the files."""
        self._directory.cleanup()

    def check(self, request: CheckRequest) -> tuple[PolicyVerdict, tuple[Finding, ...]]:
        """The policy's own verdict, and what the scanner found in the payload.

        Raises:
            RequestError: When the request does not fit the policy's question.
        """
        alone = replace(
            request,
            questions=(self._question,),
            request_id="",
            policy_revision="",
            required_policy_ids=(),
        )
        decision = self._engine.check(alone)
        return _verdict(decision), decision.findings


def _verdict(decision: Decision) -> PolicyVerdict:
    if any(one.code in _FAILED for one in decision.reasons):
        return PolicyVerdict.error()
    if decision.effect is Effect.ALLOW:
        return PolicyVerdict.allow([{"type": one.type, **one.parameters} for one in decision.obligations])
    return PolicyVerdict.deny([one.detail_code for one in decision.reasons if one.detail_code])
