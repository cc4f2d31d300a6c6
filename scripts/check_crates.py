"""Checks that crates depend on each other in one direction, and that only one knows Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# What each crate may stand on, inside the workspace.
ALLOWED: dict[str, set[str]] = {
    "pdp-policy": set(),
    "pdp-proto": set(),
    "pdp-engine": {"pdp-policy"},
    "pdp-state": {"pdp-engine", "pdp-policy"},
    "pdp-load": {"pdp-proto"},
    "pdp-server": {"pdp-engine", "pdp-policy", "pdp-proto", "pdp-state"},
    "pdp-py": {"pdp-engine", "pdp-load", "pdp-policy", "pdp-proto", "pdp-server", "pdp-state"},
}
# Libraries that stop at a boundary.
CONFINED: dict[str, set[str]] = {
    "pyo3": {"pdp-py"},
    "regorus": {"pdp-policy"},
    "cel": {"pdp-policy"},
    "tonic": {"pdp-proto", "pdp-server", "pdp-load"},
    "tokio": {"pdp-server", "pdp-load", "pdp-state"},
    "redis": {"pdp-state"},
}


def faults(packages: list[dict[str, object]]) -> list[str]:
    """One line for each dependency that points the wrong way."""
    found = []
    for package in packages:
        name = str(package["name"])
        dependencies = package["dependencies"]
        assert isinstance(dependencies, list)  # noqa: S101 - the format of cargo metadata
        if name not in ALLOWED:
            found.append(f"{name}: not in the table of scripts/check_crates.py")
            continue
        # What only tests or build scripts use never reaches a request.
        used = {one["name"] for one in dependencies if one["kind"] is None}
        found += [
            f"{name} must not depend on {one}"
            for one in sorted(used)
            if (one in ALLOWED and one not in ALLOWED[name]) or name not in CONFINED.get(one, {name})
        ]
    return found


def main() -> None:
    """Prints the faults; exits with 1 where there are any."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    run = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    found = faults(json.loads(run.stdout)["packages"])
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
