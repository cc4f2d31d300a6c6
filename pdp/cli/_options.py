"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pdp.config import Loaded, load

ADMIN: Final = "127.0.0.1:7071"

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", envvar="PDP_CONFIG", show_default=False, help="YAML or TOML file with settings."
    ),
]
Policies = Annotated[
    Path | None,
    typer.Option("--policies", show_default=False, help="Policy set directory [default: the sample estate]."),
]
Admin = Annotated[str, typer.Option("--admin", help="Admin listener of the decision point, host:port.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Deadline in seconds.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON document.")]


def settings(file: Path | None, **flags: Any) -> Loaded:
    """The configuration of this command; the only place that reads the environment."""
    return load(file, os.environ, {key.replace("__", "."): value for key, value in flags.items()})
