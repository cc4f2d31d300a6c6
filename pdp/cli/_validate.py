"""`pdp validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdp.cli._exit import ExitCode
from pdp.cli._options import AsJson
from pdp.cli._output import OUT, document


def validate(
    directory: Annotated[Path, typer.Argument(help="Policy set directory.")], *, as_json: AsJson = False
) -> None:
    """Builds a policy set and prints what is wrong with it, as file:row:column."""
    from pdp.policy import validate as build  # noqa: PLC0415 - other commands must not pay for it

    result = build(directory)
    if as_json:
        document(result.to_mapping())
    elif result.diagnostics:
        for one in result.diagnostics:
            OUT.print(str(one))
    else:
        OUT.print(f"{len(result.policies)} policies, revision {result.revision}")
    if result.diagnostics:
        raise typer.Exit(ExitCode.FAULTY)
