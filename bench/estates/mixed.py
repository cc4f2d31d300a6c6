"""A mixed estate: 60 % access, 15 % segmentation, 15 % rate limit, 10 % egress of half a KiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estates import access, calls, egress, limits
from estates.model import ALLOW, DENY, PDP_EXPECTATIONS, PolicyFiles, Record, Work, Zipf, generator

if TYPE_CHECKING:
    from pathlib import Path

MASKED = 2
"""Index of the third expectation: allowed with a masked payload."""

ACCESS, CALLS, LIMITS = 0.60, 0.75, 0.90
"""Bounds of each kind's share; the rest is egress."""


class MixedEstate:
    """All kinds of question; subjects and keys follow Zipf's law."""

    def __init__(self, *, requests: int = 65536, zipf: float = 1.1) -> None:
        """Generates the parts and the order in which they are asked."""
        self._access = access.AccessEstate(requests=requests, zipf=zipf)
        self._calls = calls.CallsEstate()
        self._egress = egress.EgressEstate(payload_bytes=512)
        self._limits = limits.LimitsEstate(keys=1000)
        self._requests = requests
        self._zipf = zipf

    def policies(self) -> PolicyFiles:
        """The parts' policies in one set."""
        made = PolicyFiles()
        for part in (self._access, self._calls, self._egress, self._limits):
            made.merge(part.policies())
        return made

    def write_peer(self, target: str, directory: Path) -> None:
        """No peer answers all these questions."""
        raise ValueError(f"{target} does not answer all kinds of question: {directory}")

    def work(self, target: str) -> Work:
        """Requests in random order."""
        if target != "pdp":
            raise ValueError(f"{target} does not answer all kinds of question")
        numbers = generator("mixed", self._requests)
        ranks = Zipf(len(self._limits.keys), self._zipf)
        questions = iter(self._access.questions)
        records = []
        for _ in range(self._requests):
            part = numbers.random()
            if part < ACCESS:
                question = next(questions)
                records.append(Record(ALLOW if question.allowed else DENY, access.encode_pdp(question)))
            elif part < CALLS:
                source, called, allowed = numbers.choice(self._calls.questions)
                records.append(Record(ALLOW if allowed else DENY, calls.encode_pdp(source, called)))
            elif part < LIMITS:
                key = self._limits.keys[ranks.draw(numbers)]
                records.append(Record(ALLOW, limits.encode_pdp(key)))
            else:
                records.append(Record(MASKED, egress.encode_pdp(numbers.choice(self._egress.payloads))))
        return Work(records, [*PDP_EXPECTATIONS, egress.MASKED])
