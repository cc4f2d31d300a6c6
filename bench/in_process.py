"""Measures `pdp.Engine` inside a Python process, as a function that embeds it would use it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from estates import make_estate
from estates.model import ALLOW
from targets import SERVER_CORE


def measure(*, quick: bool) -> dict[str, Any]:
    """Microseconds of one check by policy engine, typed and as bytes, memoised and not."""
    # As in targets.py; the Rust library reads it once, when it is first needed.
    os.environ.pop("RUST_BACKTRACE", None)
    from pdp.config import Config  # noqa: PLC0415 - needs the core
    from pdp.engine import Engine  # noqa: PLC0415

    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        results = {}
        for language in ("rego", "cel"):
            estate = make_estate("access", engine=language, requests=512)
            with tempfile.TemporaryDirectory(prefix="pdp-bench-") as name:
                estate.policies().write(Path(name))
                for memo in (False, True):
                    engine = Engine(name, config=Config(memo_entries=65536 if memo else 0))
                    key = f"{language}{'-memoised' if memo else ''}"
                    results[key] = _time(engine, estate, rounds=4 if quick else 40)
        return results
    finally:
        os.sched_setaffinity(0, before)


def _time(engine: Any, estate: Any, rounds: int) -> dict[str, float]:
    """Fastest round's mean over all questions, once every answer is asserted; others' work only adds."""
    from pdp._proto import decision_pb2 as pb  # noqa: PLC0415
    from pdp.model import CheckRequest, Effect  # noqa: PLC0415 - needs the core

    work = estate.work("pdp").records
    messages = [pb.CheckRequest.FromString(record.body) for record in work]
    requests = [CheckRequest.from_proto(message) for message in messages]
    for request, record in zip(requests, work, strict=True):
        decision = engine.check(request)
        if (decision.effect is Effect.ALLOW) != (record.expectation == ALLOW):
            raise AssertionError(f"answered wrongly: {request}")
    bodies = [record.body for record in work]
    return {
        "typed_us": _fastest_us(engine.check, requests, rounds),
        "bytes_us": _fastest_us(engine._core.check, bodies, rounds),  # noqa: SLF001 - the boundary by itself
    }


def _fastest_us(call: Any, arguments: list[Any], rounds: int) -> float:
    means = []
    for _ in range(rounds):
        began = time.perf_counter()
        for argument in arguments:
            call(argument)
        means.append((time.perf_counter() - began) / len(arguments) * 1e6)
    return round(min(means), 2)
