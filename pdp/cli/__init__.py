"""The command `pdp`."""

from __future__ import annotations

import sys

import typer

from pdp.cli import (
    _bench,
    _check,
    _config,
    _facts,
    _health,
    _limits,
    _serve,
    _test,
    _validate,
    _version,
)
from pdp.cli._exit import ExitCode, code_of
from pdp.cli._output import failure
from pdp.errors import PdpError

__all__ = ["ExitCode", "app", "main"]

app = typer.Typer(
    name="pdp",
    help="A policy decision point for serverless estates.",
    epilog=f"Exit codes: {ExitCode.describe()}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(_serve.serve)
app.command("check")(_check.check)
app.command("health")(_health.health)
app.command("validate")(_validate.validate)
app.command("test")(_test.test)
app.command("bench")(_bench.bench)
app.command("version")(_version.version)
app.add_typer(_config.app, name="config")
app.add_typer(_facts.app, name="facts")
app.add_typer(_limits.app, name="limits")


def main() -> None:
    """Runs the command; an expected error is one line and an exit code, never a traceback."""
    try:
        app()
    except PdpError as fault:
        failure(str(fault))
        sys.exit(code_of(fault))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
