"""Generated estates: policies, data, and requests whose right answers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from estates.access import AccessEstate
from estates.calls import CallsEstate
from estates.egress import EgressEstate
from estates.limits import LimitsEstate
from estates.many import ManyPoliciesEstate
from estates.mixed import MixedEstate

if TYPE_CHECKING:
    from estates.model import Estate

KINDS: dict[str, type[Estate]] = {
    "access": AccessEstate,
    "calls": CallsEstate,
    "egress": EgressEstate,
    "limits": LimitsEstate,
    "many_policies": ManyPoliciesEstate,
    "mixed": MixedEstate,
}


def make_estate(kind: str, **parameters: Any) -> Estate:
    """An estate of that kind; the same parameters give the same estate."""
    return KINDS[kind](**parameters)
