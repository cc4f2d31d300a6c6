"""Egress: mostly clean JSON with one card number and one e-mail address, to be masked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from estates.model import ALLOW, PDP_EXPECTATIONS, PolicyFiles, Record, Work, generator
from pdp._proto import decision_pb2 as pb

if TYPE_CHECKING:
    import random
    from pathlib import Path

CEL = """\
name: bench.egress
rule:
  match:
    - condition: payload.findings.size() == 0
      output: '{"effect": "allow"}'
    - condition: destination.id == "analytics.example"
      output: >-
        {"effect": "allow", "obligations": [{"type": "mask", "categories": ["financial", "personal"]}]}
    - output: '{"effect": "deny", "code": "sensitive_leaves", "message": "sensitive data may not leave"}'
"""

WORDS = [
    "order",
    "shipped",
    "parcel",
    "warehouse",
    "invoice",
    "pending",
    "customer",
    "basket",
    "discount",
    "delivery",
    "express",
    "return",
    "status",
    "window",
    "counter",
    "article",
    "colour",
    "medium",
    "large",
    "cotton",
    "carton",
    "pallet",
    "route",
    "depot",
    "driver",
]

MASKED = [*PDP_EXPECTATIONS[ALLOW], {"field": {"path": [2, 8]}}]
"""ALLOW with a masked payload."""


class EgressEstate:
    """Payloads of one size."""

    def __init__(self, *, payload_bytes: int = 4096, requests: int = 64) -> None:
        """Generates `requests` payloads of just over `payload_bytes`."""
        numbers = generator("egress", payload_bytes)
        self.payloads = [_payload(numbers, payload_bytes) for _ in range(requests)]

    def policies(self) -> PolicyFiles:
        """One CEL policy that masks what goes to analytics."""
        entry = {"id": "bench.egress", "kind": "egress", "engine": "cel", "source": "cel/egress.yaml"}
        return PolicyFiles([entry], {"cel/egress.yaml": CEL})

    def write_peer(self, target: str, directory: Path) -> None:
        """No peer answers this question."""
        raise ValueError(f"{target} does not scan payloads: {directory}")

    def work(self, target: str) -> Work:
        """The payloads, encoded for `target`."""
        if target != "pdp":
            raise ValueError(f"{target} does not scan payloads")
        return Work([Record(0, encode_pdp(payload)) for payload in self.payloads], [MASKED])


def encode_pdp(payload: bytes) -> bytes:
    """A `CheckRequest`."""
    return pb.CheckRequest(
        tenant="bench",
        questions=[pb.QUESTION_EGRESS],
        function=pb.Function(id="shop-orders", environment="production"),
        destination=pb.Destination(
            id="analytics.example", kind=pb.DESTINATION_KIND_EXTERNAL, host="analytics.example", port=443
        ),
        payload=pb.Payload(content=payload, content_type="application/json"),
    ).SerializeToString()


def _payload(numbers: random.Random, size: int) -> bytes:
    """JSON lines up to `size` bytes, with a test card number and an address in the middle one."""
    lines: list[str] = []
    while sum(map(len, lines)) + len(lines) < size - 160:
        note = " ".join(numbers.choices(WORDS, k=12))
        lines.append(json.dumps({"event": len(lines), "note": note, "amount": numbers.randrange(1000)}))
    paid = {
        "event": "paid",
        "card": "4111 1111 1111 1111",
        "mail": f"buyer{numbers.randrange(99)}@shop.example",
    }
    lines.insert(len(lines) // 2, json.dumps(paid))
    return "\n".join(lines).encode()
