"""`pdp limits`."""

from __future__ import annotations

import typer

from pdp.cli import _limits_counters

app = typer.Typer(help="Brings and inspects limits.", no_args_is_help=True, rich_markup_mode=None)

app.command("inspect")(_limits_counters.inspect)
app.command("reset")(_limits_counters.reset)
app.command("top")(_limits_counters.top)
