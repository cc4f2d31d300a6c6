"""Fixtures of real servers: a Valkey, decision points in processes of their own, and their policies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_support import PATIENCE_SECONDS, Node, Valkey, eventually, serving

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that runs."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def policy_set(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Writes a policy set of one limit list, again at each call."""

    def write(limits: list[dict[str, Any]], **entry: Any) -> Path:
        directory = tmp_path / "policies"
        directory.mkdir(exist_ok=True)
        (directory / "limits.yaml").write_text(yaml.safe_dump({"limits": limits}))
        policy = {"id": "e2e.limits", "kind": "rate_limit", "engine": "limits", "source": "limits.yaml"}
        manifest = {"version": 1, "policies": [{**policy, **entry}]}
        (directory / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        return directory

    return write


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Starts decision points, and ends them after the test."""
    nodes: list[Node] = []

    def start(policies: Path, **environment: str) -> Node:
        command = [sys.executable, "-m", "pdp.cli", "serve", "--quiet", "--log-format", "json"]
        for option in ("--listen", "--admin-listen", "--http-listen"):
            command += [option, "127.0.0.1:0"]
        command += ["--policies", str(policies), "--threads", "1"]
        log = tmp_path / f"node-{len(nodes)}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stderr=errors, env={**os.environ, **environment})
        eventually(lambda: serving(log) is not None or process.poll() is not None, f"serving, in {log}")
        addresses = serving(log)
        assert addresses is not None, log.read_text()
        node = Node(process, log, addresses["listen"], addresses["admin"], addresses["http"])
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.process.send_signal(signal.SIGTERM)
    for node in nodes:
        node.process.wait(timeout=PATIENCE_SECONDS)
