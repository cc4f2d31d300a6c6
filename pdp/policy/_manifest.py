"""What a manifest says about each policy's files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pdp.errors import Diagnostic, PolicySetError

MANIFEST = "manifest.yaml"


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """One policy's entry, as far as its files and its question go.

    Attributes:
        id: Id.
        kind: `access`, `segmentation`, `egress` or `rate_limit`.
        engine: `rego`, `cel` or `limits`.
        source: Source file, relative to the policy directory.
        libraries: Further Rego modules.
        data: Data files; each is `data.<stem>`.
        required_facts: Kinds of stored facts without which the policy is not asked.
    """

    id: str
    kind: str
    engine: str
    source: str
    libraries: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    required_facts: tuple[str, ...] = ()

    @property
    def test(self) -> str:
        """The source's test file, which need not exist."""
        stem, _, suffix = self.source.rpartition(".")
        return f"{stem}_test.{suffix}"


def read_entries(policies: Path) -> tuple[PolicyEntry, ...]:
    """Entries of the manifest in `policies`, in its order.

    Raises:
        PolicySetError: When the manifest cannot be read.
    """
    try:
        manifest = yaml.safe_load((policies / MANIFEST).read_text(encoding="utf-8"))
        return tuple(
            PolicyEntry(
                entry["id"],
                entry["kind"],
                entry["engine"],
                entry["source"],
                tuple(entry.get("libraries") or ()),
                tuple(entry.get("data") or ()),
                tuple(
                    kind
                    for kind, fact in (entry.get("stored_facts") or {}).items()
                    if (fact or {}).get("required", True)
                ),
            )
            for entry in manifest["policies"]
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as fault:
        message = f"cannot be read: {fault}".splitlines()[0]
        raise PolicySetError([Diagnostic(MANIFEST, 0, 0, "unreadable", message)]) from fault


def read_data(policies: Path, entry: PolicyEntry) -> dict[str, Any]:
    """The `data` document of one policy."""
    return {Path(name).stem: _read(policies / name) for name in entry.data}


def package_of(text: str) -> str:
    """The package a Rego module declares."""
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["package"]:
            return words[1]
    return ""


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
