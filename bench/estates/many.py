"""Many policies: one Rego policy for each service, selected by resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estates.model import ALLOW, DENY, PDP_EXPECTATIONS, PolicyFiles, Record, Work, generator
from pdp._proto import decision_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

REGO = """\
# METADATA
# title: Access to service {name}
package bench.{name}

# METADATA
# title: Allow
# description: The service's role, from a managed device and with ordinary behaviour.
allow if {{
	"{name}-user" in input.subject.roles
	input.action in {{"read", "list"}}
	input.device.managed == true
	input.device.compliant == true
	input.behaviour.score < 0.7
}}
"""


ALLOWED = 0.8
"""Share of requests that hold the role."""


class ManyPoliciesEstate:
    """Services with a policy each."""

    def __init__(self, *, policies: int = 10, asked: int | None = None, requests: int = 16384) -> None:
        """Generates `policies` services; requests are spread evenly over `asked` of them, or all."""
        self._names = [f"service_{index:05}" for index in range(policies)]
        numbers = generator("many", policies)
        names = numbers.sample(self._names, asked or policies)
        self._asked = [(numbers.choice(names), numbers.random() < ALLOWED) for _ in range(requests)]

    def policies(self) -> PolicyFiles:
        """A policy for each service."""
        made = PolicyFiles()
        for name in self._names:
            source = f"rego/{name}/policy.rego"
            made.files[source] = REGO.format(name=name)
            entry = {"id": f"bench.{name}", "kind": "access", "engine": "rego", "source": source}
            made.entries.append({**entry, "match": {"resources": [f"/{name}/*"]}})
        return made

    def write_peer(self, target: str, directory: Path) -> None:
        """Peers are not part of this comparison."""
        raise ValueError(f"{target} is not started with many policies: {directory}")

    def work(self, target: str) -> Work:
        """A request to a service each."""
        if target != "pdp":
            raise ValueError(f"{target} is not started with many policies")
        records = [
            Record(ALLOW if allowed else DENY, _encode(name, f"{name}-user" if allowed else "guest"))
            for name, allowed in self._asked
        ]
        return Work(records, PDP_EXPECTATIONS)


def _encode(name: str, role: str) -> bytes:
    return pb.CheckRequest(
        tenant="bench",
        questions=[pb.QUESTION_ACCESS],
        subject=pb.Subject(id="user-1", type="user", roles=[role]),
        action="read",
        resource=pb.Resource(id=f"/{name}/item", type="item"),
        device=pb.Device(managed=True, compliant=True),
        behaviour=pb.Behaviour(score=0.1),
    ).SerializeToString()
