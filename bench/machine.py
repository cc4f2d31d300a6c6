"""What a run stands on: machine, commit, versions, and how busy the cores are."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import redis

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = REPOSITORY / ".cache" / "peers" / "bin"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def busy_seconds(core: int) -> float:
    """Seconds that `core` was busy since the machine started, from /proc/stat (proc(5))."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
    raise LookupError(f"core {core} does not exist")


def process_seconds(pid: int) -> float:
    """CPU time of a process and its threads, from /proc/<pid>/stat (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    match = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(match.group(1)) / 1024 if match else 0.0


def valkey_memory(port: int) -> dict[str, float]:
    """Keys that a Valkey holds, and bytes of each beyond what it takes when empty."""
    with redis.Redis(port=port) as client:
        memory, keys = client.info("memory"), client.dbsize()
    used = memory["used_memory"] - memory["used_memory_startup"] - memory["mem_clients_normal"]
    return {"store_keys": keys, "store_bytes_per_key": round(used / max(keys, 1), 1)}


def peer_binary(name: str) -> Path | None:
    """A peer on PATH or built by bench/peers/build.py."""
    built = PEERS / name
    if built.exists():
        return built
    found = shutil.which(name)
    return Path(found) if found else None


def _output(*command: str) -> str:
    try:
        finished = subprocess.run(command, cwd=REPOSITORY, check=True, text=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return finished.stdout.strip()


def _peer_version(name: str) -> str:
    binary = peer_binary(name)
    if binary is None:
        return "absent"
    stamp = binary.with_suffix(".version")
    if stamp.exists():
        return stamp.read_text(encoding="ascii")
    match = re.search(r"^\s+mod\s+\S+\s+(\S+)", _output("go", "version", "-m", str(binary)), re.MULTILINE)
    return match.group(1) if match else "unknown"


def _priority() -> int:
    """Nice value of this process, or of its autogroup where that is higher in rank (sched(7))."""
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        group = Path("/proc/self/autogroup").read_text(encoding="ascii")
    except OSError:
        return nice
    return min(nice, int(group.rpartition(" ")[2]))


def describe() -> dict[str, object]:
    """Machine, commit and versions, for the results."""
    cpu = re.search(
        r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "commit": _output("git", "rev-parse", "--short=12", "HEAD"),
        "tree": "changed"
        if _output("git", "status", "--porcelain", "--", "rust", "pdp", "Cargo.lock")
        else "clean",
        "priority": _priority(),
        "versions": {
            "python": platform.python_version(),
            "rustc": _output("rustc", "--version").removeprefix("rustc "),
            "opa": _peer_version("opa"),
            "cerbos": _peer_version("cerbos"),
            "envoyproxy/ratelimit": _peer_version("service_cmd"),
        },
    }
