"""Runs the benchmark scenarios one after another and writes the results as JSON.

The server is pinned to core 0 and the load generator to core 1. Every answer
is checked; a failed or wrongly answered request voids its run. Runs are made in
rounds, and each one's best is kept, since whatever else runs only slows it down.
"""

from __future__ import annotations

import argparse
import copy
import json
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import in_process
import machine
import yaml
from estates import make_estate
from estates.model import ALLOW, Record, Work
from estates.wire import field
from targets import GENERATOR_CORE, LOAD_GENERATOR, SERVER_CORE, STARTERS, Target, TargetError

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
CLOSED = {"connections": 4, "in_flight": 16}
IN_PROCESS = "in-process"
"""Names the measurement inside a Python process, which is no scenario file."""
ROUNDS = 3
"""How often each run is made; the best is kept."""


class Pace:
    """How long runs take, and how often they are made."""

    def __init__(self, *, quick: bool, rounds: int = ROUNDS) -> None:
        """Short runs show that everything works; long ones measure."""
        self.warm_up_seconds = 0.5 if quick else 1.5
        self.duration_seconds = 1.0 if quick else 4.0
        self.rounds = 1 if quick else rounds

    def lasting(self, seconds: float | None) -> Pace:
        """This pace, for a run that must last so long to mean anything."""
        if seconds is None:
            return self
        longer = copy.copy(self)
        longer.duration_seconds = seconds
        return longer


def load_scenarios(names: list[str]) -> list[dict[str, Any]]:
    """The scenario files, all or those named."""
    scenarios = [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(SCENARIOS.glob("*.yaml"))
    ]
    known = {IN_PROCESS, *(scenario["name"] for scenario in scenarios)}
    if unknown := set(names) - known:
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return [scenario for scenario in scenarios if not names or scenario["name"] in names]


def work_for(estate: Any, run: dict[str, Any]) -> Work:
    """The requests of a run; the empty server gets the decision point's and allows them all."""
    target = "pdp" if run["target"] == "empty" else run["target"]
    work = estate.work(target)
    if run["target"] == "empty":
        work = Work([Record(ALLOW, record.body) for record in work.records], work.expectations)
    if batch := run.get("batch"):
        bodies = [record.body for record in work.records if record.expectation == ALLOW]
        batches = [bodies[at : at + batch] for at in range(0, len(bodies) - batch + 1, batch)]
        records = [Record(0, b"".join(field(1, body) for body in bodies)) for bodies in batches]
        work = Work(records, [[{"field": {"path": [1, 2, 1], "number": 1}}]])
    return work


class Meter:
    """Watches server and generator on their cores in the middle of a run."""

    def __init__(self, target: Target, generator: int, pace: Pace) -> None:
        """Starts to watch once the processes have warmed up."""
        self._watched = (((target.pid,), SERVER_CORE), ((generator, *target.companions), GENERATOR_CORE))
        self._plan = (pace.warm_up_seconds + 0.2, pace.duration_seconds * 0.6)
        self._shares: tuple[float, float] | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _read(self) -> list[tuple[float, float]]:
        """CPU seconds of what is measured on each core, and busy seconds of the core."""
        return [
            (sum(map(machine.process_seconds, pids)), machine.busy_seconds(core))
            for pids, core in self._watched
        ]

    def _watch(self) -> None:
        after_seconds, for_seconds = self._plan
        time.sleep(after_seconds)
        try:
            began, before = time.monotonic(), self._read()
            time.sleep(for_seconds)
            elapsed, after = time.monotonic() - began, self._read()
        except FileNotFoundError:
            return  # ended early; the run is void
        used = [
            ((own - own_before) / elapsed, (busy - busy_before) / elapsed)
            for (own, busy), (own_before, busy_before) in zip(after, before, strict=True)
        ]
        self._shares = used[0][0], max(0.0, *(busy - own for own, busy in used))

    def result(self) -> tuple[float, float]:
        """Shares of a core that the server used, and that others used of the more disturbed core.

        Raises:
            TargetError: When a process ended before it was watched.
        """
        self._thread.join()
        if self._shares is None:
            raise TargetError("void: a process ended early")
        return self._shares


def generate(
    target: Target, directory: Path, expectations: Any, load: dict[str, Any], pace: Pace, batch: int
) -> tuple[Any, Meter]:
    """One run of the load generator: its report, and what was seen meanwhile.

    Raises:
        TargetError: When the run is void.
    """
    config = {
        "target": {"protocol": target.protocol, "address": target.address, "path": target.path},
        "requests": {"file": str(directory / "work.bin")},
        "expectations": expectations,
        "load": load,
        "warm_up_seconds": pace.warm_up_seconds,
        "duration_seconds": pace.duration_seconds,
        "decisions_per_request": batch,
    }
    command = ["taskset", "--cpu-list", str(GENERATOR_CORE), str(LOAD_GENERATOR), "run", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        meter = Meter(target, process.pid, pace)
        try:
            out, errors = process.communicate(
                json.dumps(config), timeout=pace.warm_up_seconds + pace.duration_seconds + 120
            )
        finally:
            process.kill()
    if process.returncode != 0:
        raise TargetError(f"void: {errors.strip()}")
    return json.loads(out), meter


def measure(run: dict[str, Any], estate: Any, done: dict[str, Any], pace: Pace) -> dict[str, Any]:
    """Starts the target and runs the load on it."""
    pace = pace.lasting(run.get("duration_seconds"))
    load: dict[str, Any] = {"closed": {**CLOSED, **run.get("load", {})}}
    if rate := run.get("rate"):
        load = {"open": {"connections": CLOSED["connections"], "rate": float(rate)}}
    if saturated := run.get("half_of"):
        if saturated not in done:
            raise TargetError(f"void: half of {saturated}, which has no result")
        load = {"open": {"connections": CLOSED["connections"], "rate": done[saturated]["report"]["rps"] / 2}}
    with tempfile.TemporaryDirectory(prefix="pdp-bench-") as name:
        directory = Path(name)
        work = work_for(estate, run)
        work.write(directory / "work.bin")
        with STARTERS[run["target"]](directory, estate, run) as target:
            report, meter = generate(target, directory, work.expectations, load, pace, run.get("batch", 1))
            server, foreign = meter.result()
            stored = {} if target.store_port is None else machine.valkey_memory(target.store_port)
            return {
                **stored,
                **run,
                "report": report,
                "server_core_share": round(server, 3),
                "foreign_core_share": None if run.get("threads", 1) > 1 else round(foreign, 3),
                "server_us_per_decision": round(server / report["decisions_per_second"] * 1e6, 2),
                "resident_mib": round(machine.resident_mib(target.pid), 1),
                "started_seconds": round(target.started_seconds, 2),
            }


def merit(result: dict[str, Any]) -> float:
    """What the best of several runs has most of: throughput in a closed loop, a low p99 in an open one."""
    report = result["report"]
    paced = "half_of" in result or "rate" in result
    return float(-report["latency_us"]["p99"] if paced else report["decisions_per_second"])


def run_scenario(
    scenario: dict[str, Any], pace: Pace, void: dict[str, str], *, peers: bool
) -> dict[str, Any]:
    """All runs of one scenario, round after round. `void` says of a run that failed why."""
    wanted = [run for run in scenario["runs"] if peers or run["target"] in ("pdp", "empty")]
    estates: dict[str, Any] = {}
    done: dict[str, Any] = {}
    for _ in range(pace.rounds):
        for run in wanted:
            own = {**scenario["estate"], **run.get("estate", {})}
            key = json.dumps(own, sort_keys=True)
            if key not in estates:
                estates[key] = make_estate(**own)
            name = f"{scenario['name']}/{run['id']}"
            try:
                result = measure(run, estates[key], done, pace)
            except TargetError as error:
                void[name] = str(error)
                print(f"{name} {error}", file=sys.stderr)
                continue
            _print(name, result)
            before = done.get(run["id"], {"rounds": []})
            best = max((one for one in (before, result) if "report" in one), key=merit)
            rounds = [*before["rounds"], round(abs(merit(result)), 1)]
            done[run["id"]] = {**best, "rounds": rounds}
    return {"title": scenario["title"], "about": scenario["about"], "runs": done}


def _print(name: str, result: dict[str, Any]) -> None:
    report, foreign = result["report"], result["foreign_core_share"]
    print(
        f"{name} {report['decisions_per_second']:,.0f}/s p99 {report['latency_us']['p99']:,.0f} us,"
        f" {result['server_us_per_decision']:,.1f} us CPU, core {result['server_core_share']:.0%},"
        f" others {foreign if foreign is None else format(foreign, '.0%')},"
        f" {result['resident_mib']:.0f} MiB",
        file=sys.stderr,
    )


def options(arguments: argparse.Namespace) -> list[str]:
    """The options that bear on the numbers, to repeat a run."""
    given = ["--quick"] if arguments.quick else []
    given += ["--without-peers"] if arguments.without_peers else []
    given += ["--rounds", str(arguments.rounds)] if arguments.rounds != ROUNDS else []
    return given


def main() -> int:
    """Runs scenarios and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="names (default: all)")
    parser.add_argument("--quick", action="store_true", help="short runs that show that all works")
    parser.add_argument(
        "--without-peers", action="store_true", help="only the decision point and the empty server"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results/latest.json"), help="file to write or add to"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds (default: %(default)s)")
    parser.add_argument("--built-from", help="commit of the installed package (default: the checkout's)")
    parser.add_argument("--add", action="store_true", help="keep the file's other scenarios")
    arguments = parser.parse_args()
    if not LOAD_GENERATOR.exists():
        sys.exit("the load generator is missing: cargo build --release --locked -p pdp-load")
    pace = Pace(quick=arguments.quick, rounds=arguments.rounds)
    scenarios = load_scenarios(arguments.scenarios)
    kept: dict[str, Any] = {}
    if arguments.add and arguments.out.exists():
        kept = json.loads(arguments.out.read_text(encoding="utf-8"))
    void: dict[str, str] = {}
    began = time.monotonic()
    described = {
        **machine.describe(),
        **({"commit": arguments.built_from, "tree": "clean"} if arguments.built_from else {}),
        "date": datetime.now(UTC).date().isoformat(),
    }
    stamps = ("commit", "date", "cpu")
    results = {
        name: {**{stamp: kept[stamp] for stamp in stamps}, **scenario}
        for name, scenario in kept.get("scenarios", {}).items()
    }
    # A peer that is not here now was there when the scenarios that are kept were measured.
    versions = {name: was for name, was in kept.get("versions", {}).items() if was != "absent"}
    described["versions"] = {
        name: versions.get(name, found) if found == "absent" else found
        for name, found in described["versions"].items()
    }
    for scenario in scenarios:
        measured = run_scenario(scenario, pace, void, peers=not arguments.without_peers)
        results[scenario["name"]] = {**measured, **{stamp: described[stamp] for stamp in stamps}}
    embedded = kept.get("in_process")
    if not arguments.scenarios or IN_PROCESS in arguments.scenarios:
        embedded = in_process.measure(quick=arguments.quick)
    document = {
        **described,
        "command": shlex.join(["python", "bench/run.py", *arguments.scenarios, *options(arguments)]),
        "quick": arguments.quick,
        "rounds": pace.rounds,
        "warm_up_seconds": pace.warm_up_seconds,
        "duration_seconds": pace.duration_seconds,
        "took_seconds": round(time.monotonic() - began),
        "void": void,
        "scenarios": results,
        "in_process": embedded,
    }
    if "profiles" in kept:
        document["profiles"] = kept["profiles"]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if void else 0


if __name__ == "__main__":
    sys.exit(main())
