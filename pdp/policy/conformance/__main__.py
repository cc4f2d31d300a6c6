"""The conformance run as a command."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from pdp.errors import PdpError
from pdp.policy.conformance import report, run
from pdp.policy.conformance._outcome import Class


def main() -> int:
    """Runs the suites; 1 where the process died on a case."""
    parser = argparse.ArgumentParser(prog="python -m pdp.policy.conformance")
    parser.add_argument("directory", type=Path, help="holds `opa/` or `cel/`")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument("--show", action="store_true", help="print wrong cases with what came")
    options = parser.parse_args()
    try:
        results = run(options.directory)
    except PdpError as fault:
        print(fault, file=sys.stderr)  # noqa: T201
        return 2
    if options.write is not None:
        options.write.write_text(report(results), encoding="utf-8")
    for engine in ("rego", "cel"):
        counts = Counter(one.loaded for one in results if one.case.engine == engine)
        print(engine, ", ".join(f"{which} {count}" for which, count in sorted(counts.items())))  # noqa: T201
    if options.show:
        for one in results:
            if one.loaded in {Class.WRONG, Class.MISSED, Class.CRASH, Class.FAILED}:
                print(one.loaded, one.case.group, one.case.name, one.detail[:300], sep=" | ")  # noqa: T201
    return 1 if any(one.loaded is Class.CRASH for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
