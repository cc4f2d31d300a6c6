"""Assertions about decisions; a failing one says why the decision was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pdp.model import Decision


def assert_allowed(decision: Decision, *, by: str | None = None) -> None:
    """Holds if the decision is ALLOW, where given by a reason of policy `by`.

    Raises:
        AssertionError: Otherwise, with the decision's reasons.
    """
    __tracebackhide__ = True
    if not decision.allowed:
        raise AssertionError(f"expected ALLOW, got DENY: {_explain(decision)}")
    if by is not None and by not in decision.policy_ids:
        raise AssertionError(f"expected ALLOW by `{by}`, got: {_explain(decision)}")


def assert_denied(decision: Decision, *, by: str | None = None, code: str | None = None) -> None:
    """Holds if the decision is DENY, where given by policy `by`, for reason `code`.

    Args:
        decision: The decision.
        by: Id of a policy among the reasons.
        code: A stable reason code such as `FACT_MISSING`, or a policy's own code.

    Raises:
        AssertionError: Otherwise, with the decision's reasons.
    """
    __tracebackhide__ = True
    if decision.allowed:
        raise AssertionError(f"expected DENY, got ALLOW: {_explain(decision)}")
    if by is not None and by not in decision.policy_ids:
        raise AssertionError(f"expected DENY by `{by}`, got: {_explain(decision)}")
    codes = {one.detail_code for one in decision.reasons} | {str(one.code) for one in decision.reasons}
    if code is not None and code not in codes:
        raise AssertionError(f"expected DENY for `{code}`, got: {_explain(decision)}")


def _explain(decision: Decision) -> str:
    """All reasons, one line."""
    lines = [
        " ".join(part for part in (str(one.code), one.detail_code, one.policy_id, one.message) if part)
        for one in decision.reasons
    ]
    return "; ".join(lines) or "no reasons"
