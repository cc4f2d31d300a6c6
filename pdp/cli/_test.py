"""`pdp test`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdp.cli._exit import ExitCode
from pdp.cli._options import AsJson
from pdp.cli._output import OUT, document
from pdp.errors import ConfigError

if TYPE_CHECKING:
    from pdp.policy import Report, TestReport


def test(
    directory: Annotated[Path, typer.Argument(help="Policy set directory.")],
    *,
    cases: Annotated[
        list[Path] | None,
        typer.Option("--cases", show_default=False, help="File of request cases, or a directory of them."),
    ] = None,
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Compare each answer with a real OPA and with cel-python.")
    ] = False,
    opa: Annotated[
        Path | None,
        typer.Option("--opa", envvar="PDP_OPA", show_default=False, help="OPA binary [default: on PATH]."),
    ] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Print rows that no test reached.")] = False,
    as_json: AsJson = False,
) -> None:
    """Runs the tests beside the policies; --cross-check compares with other engines."""
    from pdp.policy import cross_check as compare  # noqa: PLC0415 - other commands must not pay for it
    from pdp.policy import read_cases, run_tests  # noqa: PLC0415

    files = [file for path in cases or () for file in _files(path)]
    report = run_tests(directory, files)
    comparison = None
    if cross_check:
        requests = {f"{file.stem}/{one.name}": one.request for file in files for one in read_cases(file)}
        comparison = compare(directory, _opa(opa), requests)
    if as_json:
        document({"tests": report.to_mapping(), "cross_check": comparison})
    else:
        _print(report, coverage=coverage)
        if comparison is not None:
            _print_comparison(comparison)
    if report.failed or (comparison is not None and not comparison.agrees):
        raise typer.Exit(ExitCode.FAULTY)


def _files(path: Path) -> list[Path]:
    """The file, or the YAML files of a directory."""
    if path.is_dir():
        return sorted(path.rglob("*.yaml"))
    if not path.is_file():
        raise ConfigError("cases", f"`{path}` is neither a file nor a directory")
    return [path]


def _opa(given: Path | None) -> Path | None:
    """The OPA binary to compare with."""
    if given is not None:
        if not os.access(given, os.X_OK):
            raise ConfigError("opa", f"`{given}` cannot be run; name an OPA binary")
        return given
    found = shutil.which("opa")
    return Path(found) if found else None


def _print(report: TestReport, *, coverage: bool) -> None:
    """The report for a person."""
    for one in report.failed:
        place = f"{one.file}:{one.row}" if one.row else one.file
        OUT.print(f"{place}: {one.outcome}: {one.suite}.{one.name}: {one.message}", style="red")
    for policy_id in report.untested:
        OUT.print(f"{policy_id}: no test stands beside it", style="yellow")
    if coverage:
        for module in report.coverage:
            rows = len(module.covered) + len(module.not_covered)
            share = len(module.covered) / rows if rows else 1.0
            missed = f"; not reached: {', '.join(map(str, module.not_covered))}" if module.not_covered else ""
            OUT.print(f"{module.file}: {share:.0%}{missed}")
    passed = len(report.results) - len(report.failed)
    OUT.print(f"{passed} passed, {len(report.failed)} failed", style="red" if report.failed else "green")


def _print_comparison(comparison: Report) -> None:
    """The comparison for a person."""
    for one in comparison.differences:
        OUT.print(str(one), style="red")
    for skip in comparison.skipped:
        OUT.print(f"{skip.policy_id}: not compared: {skip.reason}", style="yellow")
    OUT.print(
        f"{comparison.compared} answers compared, {len(comparison.differences)} differ",
        style="green" if comparison.agrees else "red",
    )
