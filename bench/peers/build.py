"""Builds the peers that the benchmarks compare with, from their Go modules, into `.cache/peers/bin`.

A peer that is there already in the wanted version is kept. Go 1.26 or newer
must be on PATH; it fetches a newer toolchain by itself where a peer asks for one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "peers"


@dataclass(frozen=True)
class Peer:
    """A Go program: module, exact version, main package, and the name of its binary."""

    name: str
    module: str
    version: str
    package: str


PEERS = (
    Peer("opa", "github.com/open-policy-agent/opa", "v1.22.2", "."),
    Peer("cerbos", "github.com/cerbos/cerbos", "v0.55.0", "./cmd/cerbos"),
    Peer(
        "service_cmd",
        "github.com/envoyproxy/ratelimit",
        "v1.4.1-0.20260122083618-3fb702589d36",
        "./src/service_cmd",
    ),
)


def go(*arguments: str, cwd: Path) -> str:
    """Runs the Go command outside of any workspace file and returns its output."""
    environment = {**os.environ, "GOTOOLCHAIN": "auto", "GOWORK": "off", "CGO_ENABLED": "0"}
    finished = subprocess.run(
        ["go", *arguments], cwd=cwd, env=environment, check=True, text=True, stdout=subprocess.PIPE
    )
    return finished.stdout


def built_version(binary: Path) -> str | None:
    """Version of the main module inside `binary`, or None where there is no such binary."""
    if not binary.exists():
        return None
    for line in go("version", "-m", str(binary), cwd=CACHE).splitlines():
        fields = line.split()
        if fields[:1] == ["mod"]:
            return fields[2]
    return None


def build(peer: Peer) -> None:
    """Builds one peer in a copy of its module, so that its own replace directives hold."""
    binary = CACHE / "bin" / peer.name
    stamp = binary.with_suffix(".version")
    if built_version(binary) == peer.version or (stamp.exists() and stamp.read_text() == peer.version):
        print(f"{peer.name} {peer.version}: kept", file=sys.stderr)
        return
    print(f"{peer.name} {peer.version}: building", file=sys.stderr)
    module = json.loads(go("mod", "download", "-json", f"{peer.module}@{peer.version}", cwd=CACHE))
    source = CACHE / "src" / peer.name
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(module["Dir"], source)
    for path in (source, *source.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    go("build", "-trimpath", "-ldflags=-s -w", "-o", str(binary), peer.package, cwd=source)
    shutil.rmtree(source)
    stamp.write_text(peer.version)


def main() -> int:
    """Builds the named peers, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"of {', '.join(peer.name for peer in PEERS)} (default: all)"
    )
    names = parser.parse_args().names
    if unknown := set(names) - {peer.name for peer in PEERS}:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if shutil.which("go") is None:
        print("go is missing: install Go 1.26 or newer to build the peers", file=sys.stderr)
        return 1
    (CACHE / "bin").mkdir(parents=True, exist_ok=True)
    for peer in PEERS:
        if not names or peer.name in names:
            build(peer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
