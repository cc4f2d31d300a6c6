"""Profiles the server under one run's load with perf and adds the summary to the results."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from estates import make_estate
from run import CLOSED, Pace, generate, load_scenarios, work_for
from targets import STARTERS

WARM_UP_SECONDS = 4.0
SECONDS = 5
FREQUENCY = 997
SHOWN_SYMBOLS = 12
SHOWN_PARTS = 10

LINE = re.compile(r"^\s*([0-9.]+)%\s+(\S+)\s+\[([.k])\]\s+(.+?)(?:\s+-)*\s*$")
CRATE = re.compile(r"^<?(?:&?(?:mut )?)?([a-z][a-z0-9_]*)::")
SAMPLES = re.compile(r"# Samples: ([0-9.]+)(K?)")


def part_of(kernel: bool, symbol: str) -> str:  # noqa: FBT001 - a parsed flag
    """The crate a function belongs to, or what else it is."""
    if kernel:
        return "kernel"
    if symbol.startswith(
        ("mi_", "_mi_", "malloc", "free", "realloc", "cfree", "__rust_alloc", "__rust_dealloc")
    ):
        return "allocator"
    if symbol.startswith(("__mem", "mem")):
        return "memory copy and compare"
    match = CRATE.match(symbol)
    return match.group(1) if match else "other"


def profile(scenario_name: str, run_id: str) -> dict[str, object]:
    """Shares by part and by function, in per cent."""
    scenario = load_scenarios([scenario_name])[0]
    run = next(run for run in scenario["runs"] if run["id"] == run_id)
    estate = make_estate(**{**scenario["estate"], **run.get("estate", {})})
    pace = Pace(quick=True)
    pace.warm_up_seconds, pace.duration_seconds = WARM_UP_SECONDS, SECONDS + 1.0
    with tempfile.TemporaryDirectory(prefix="pdp-bench-") as name:
        directory = Path(name)
        work = work_for(estate, run)
        work.write(directory / "work.bin")
        with STARTERS[run["target"]](directory, estate, run) as target:
            options = ["-e", "cpu-clock", "-F", str(FREQUENCY)]
            recorded = ["-p", str(target.pid), "-o", str(directory / "perf.data")]
            record = " ".join(["perf", "record", "-q", *options, *recorded, "--", "sleep", str(SECONDS)])
            delayed = f"sleep {WARM_UP_SECONDS + 0.3}; exec {record}"
            with subprocess.Popen(["sh", "-c", delayed], stdout=subprocess.DEVNULL) as perf:
                load = {"closed": {**CLOSED, **run.get("load", {})}}
                generate(target, directory, work.expectations, load, pace, run.get("batch", 1))
                perf.wait(timeout=60)
        shown = subprocess.run(
            [
                "perf",
                "report",
                "--stdio",
                "--no-children",
                "-s",
                "dso,symbol",
                "-i",
                str(directory / "perf.data"),
            ],
            check=True,
            text=True,
            capture_output=True,
        ).stdout
    parts: Counter[str] = Counter()
    symbols: Counter[str] = Counter()
    for line in shown.splitlines():
        if match := LINE.match(line):
            share, _, kind, symbol = match.groups()
            parts[part_of(kind == "k", symbol)] += float(share)
            symbols[re.sub(r"::h[0-9a-f]{16}$", "", symbol)] += float(share)
    count = SAMPLES.search(shown)
    samples = int(float(count.group(1)) * (1000 if count.group(2) else 1)) if count else 0
    return {
        "command": " ".join(["perf", "record", *options]),
        "samples": samples,
        "parts": dict(parts.most_common(SHOWN_PARTS)),
        "symbols": dict(symbols.most_common(SHOWN_SYMBOLS)),
    }


def main() -> None:
    """Profiles each run named as scenario/run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="scenario/run, such as access-rego/pdp")
    parser.add_argument("--results", type=Path, default=Path("bench/results/latest.json"))
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    for name in arguments.runs:
        scenario, _, run = name.partition("/")
        results.setdefault("profiles", {})[name] = profile(scenario, run)
    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
