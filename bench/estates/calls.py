"""Segmentation: which function may call which, over edges keyed by their source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from estates.access import OPA_EXPECTATIONS
from estates.model import ALLOW, DENY, PDP_EXPECTATIONS, PolicyFiles, Record, Work, generator
from pdp._proto import decision_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

REGO = """\
# METADATA
# title: Calls along the estate's edges
package bench.calls

import data.graph

# METADATA
# title: Allow
# description: The edge exists and stays in its environment.
allow if {
	graph.edges[input.function.id][input.destination.id]
	input.destination.labels.environment == input.function.environment
}
"""

OPA_ENTRYPOINT = """\
package bench.answer

default permitted := false

permitted if data.bench.calls.allow
"""


FOLLOWS_EDGE = 0.8
"""Share of questions that follow an edge."""


class CallsEstate:
    """A graph of functions, and questions about its edges."""

    def __init__(self, *, functions: int = 1000, edges: int = 10, requests: int = 4096) -> None:
        """Generates `edges` edges from each function; four of five questions follow one."""
        numbers = generator("calls", functions, edges)
        names = [f"fn-{index:05}" for index in range(functions)]
        self._edges = {name: dict.fromkeys(numbers.sample(names, edges), True) for name in names}
        self.questions: list[tuple[str, str, bool]] = []
        for _ in range(requests):
            source = numbers.choice(names)
            target = numbers.choice(names)
            if numbers.random() < FOLLOWS_EDGE:
                target = numbers.choice(list(self._edges[source]))
            self.questions.append((source, target, target in self._edges[source]))

    def policies(self) -> PolicyFiles:
        """One Rego policy over the graph."""
        entry = {
            "id": "bench.calls",
            "kind": "segmentation",
            "engine": "rego",
            "source": "rego/calls/policy.rego",
            "data": ["data/graph.json"],
        }
        graph = json.dumps({"edges": self._edges})
        return PolicyFiles([entry], {"rego/calls/policy.rego": REGO, "data/graph.json": graph})

    def write_peer(self, target: str, directory: Path) -> None:
        """OPA gets the same Rego and graph."""
        if target != "opa":
            raise ValueError(f"{target} has no segmentation")
        (directory / "policy.rego").write_text(REGO, encoding="utf-8")
        (directory / "answer.rego").write_text(OPA_ENTRYPOINT, encoding="utf-8")
        (directory / "graph.json").write_text(json.dumps({"edges": self._edges}), encoding="utf-8")

    def work(self, target: str) -> Work:
        """The questions, encoded for `target`."""
        encode = {"pdp": encode_pdp, "opa": _encode_opa}[target]
        records = [
            Record(ALLOW if allowed else DENY, encode(source, called))
            for source, called, allowed in self.questions
        ]
        return Work(records, {"pdp": PDP_EXPECTATIONS, "opa": OPA_EXPECTATIONS}[target])


def encode_pdp(source: str, called: str) -> bytes:
    """A `CheckRequest`."""
    return pb.CheckRequest(
        tenant="bench",
        questions=[pb.QUESTION_SEGMENTATION],
        function=pb.Function(id=source, environment="production"),
        destination=pb.Destination(
            id=called, kind=pb.DESTINATION_KIND_FUNCTION, labels={"environment": "production"}
        ),
    ).SerializeToString()


def _encode_opa(source: str, called: str) -> bytes:
    document = {
        "tenant": "bench",
        "function": {
            "id": source,
            "environment": "production",
            "labels": {},
            "roles": [],
            "attributes": {},
        },
        "destination": {
            "id": called,
            "kind": "function",
            "labels": {"environment": "production"},
            "attributes": {},
        },
    }
    return json.dumps({"input": document}, separators=(",", ":")).encode()
