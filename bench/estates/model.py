"""What an estate is: policies for each target, and requests with their right answers."""

from __future__ import annotations

import bisect
import itertools
import random
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import yaml

if TYPE_CHECKING:
    from pathlib import Path

ALLOW, DENY = 0, 1
"""Indices of the two expectations that every target has."""


@dataclass(frozen=True, slots=True)
class Record:
    """An encoded request and the index of what its answer must be."""

    expectation: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Work:
    """What a target is sent, over and over, and what it must answer."""

    records: list[Record]
    expectations: list[list[dict[str, Any]]]

    def write(self, path: Path) -> None:
        """Writes the records in the load generator's format."""
        with path.open("wb") as file:
            for record in self.records:
                file.write(struct.pack("<HI", record.expectation, len(record.body)))
                file.write(record.body)


@dataclass(slots=True)
class PolicyFiles:
    """A policy set of the decision point before it is written."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def merge(self, other: PolicyFiles) -> None:
        """Adds another set's policies."""
        self.entries.extend(other.entries)
        self.files.update(other.files)

    def write(self, directory: Path) -> None:
        """Writes the manifest and every file into `directory`."""
        for name, text in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        manifest = {"version": 1, "policies": self.entries}
        text = yaml.dump(manifest, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
        (directory / "manifest.yaml").write_text(text, encoding="utf-8")


class Estate(Protocol):
    """Policies and requests."""

    def policies(self) -> PolicyFiles:
        """The decision point's policy set."""

    def write_peer(self, target: str, directory: Path) -> None:
        """Writes what a peer is started with into `directory`."""

    def work(self, target: str) -> Work:
        """Requests to `target`: `pdp` or a peer."""


def effect_expectations(path: list[int]) -> list[list[dict[str, Any]]]:
    """Expectations ALLOW and DENY for an effect of 1 or 2 at `path` of a protobuf answer."""
    return [[{"field": {"path": path, "number": number}}] for number in (1, 2)]


PDP_EXPECTATIONS = effect_expectations([2, 1])
"""`decision.effect` of a `CheckResponse` or of a `CheckResult`."""


def generator(*seed: object) -> random.Random:
    """A source of numbers that are the same in every run."""
    return random.Random(repr(seed))  # noqa: S311 - benchmarks need repeatable numbers, not secret ones


class Zipf:
    """Draws ranks from 0 with probability proportional to 1 / (rank + 1) ** exponent."""

    def __init__(self, count: int, exponent: float) -> None:
        """Prepares `count` ranks."""
        weights = ((rank + 1) ** -exponent for rank in range(count))
        self._cumulative = list(itertools.accumulate(weights))

    def draw(self, numbers: random.Random) -> int:
        """One rank."""
        return bisect.bisect_left(self._cumulative, numbers.random() * self._cumulative[-1])
