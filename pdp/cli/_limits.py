"""`pdp limits import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pdp.cli._output import ERR, OUT
from pdp.errors import ConfigError

app = typer.Typer(help="Brings and inspects limits.", no_args_is_help=True, rich_markup_mode=None)


class _Algorithm(StrEnum):
    FIXED_WINDOW = "fixed_window"
    SLIDING_WINDOW = "sliding_window"
    GCRA = "gcra"


@app.callback()
def limits() -> None:
    """Brings and inspects limits."""


@app.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files of envoyproxy/ratelimit.")],
    *,
    algorithm: Annotated[
        _Algorithm,
        typer.Option(help="How hits are counted; `fixed_window` is what envoyproxy/ratelimit does."),
    ] = _Algorithm.FIXED_WINDOW,
    merge_domains: Annotated[bool, typer.Option("--merge-domains", help="Join files of one domain.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", show_default=False, help="Directory to write a policy set into [default: print]."
        ),
    ] = None,
) -> None:
    """Turns envoyproxy/ratelimit's YAML into limit lists and the manifest entries that serve them.

    A file that cannot be imported is refused with file, row, column, path and fix; nothing is written then.
    """
    from pdp.policy import import_ratelimit  # noqa: PLC0415 - other commands must not pay for it

    imported = import_ratelimit(files, algorithm=algorithm.value, merge_domains=merge_domains)
    for note in imported.notes:
        ERR.print(f"pdp: note: {note}")
    texts = {one.source: one.text for one in imported.domains} | {"manifest.yaml": imported.manifest}
    if out is None:
        # As it is: the console would make pictures of what looks like their names.
        typer.echo("\n".join(f"# {name}\n{text}" for name, text in texts.items()), nl=False)
        return
    _write(out, texts)
    for one in imported.domains:
        OUT.print(f"{out / one.source}: {one.limits} limits of the domain {one.domain}")
    OUT.print(f"{out / 'manifest.yaml'}: {len(imported.domains)} policies")


def _write(out: Path, texts: dict[str, str]) -> None:
    """Writes all files or none; a file that is there stays as it is."""
    there = [str(out / name) for name in texts if (out / name).exists()]
    if there:
        message = f"`{there[0]}` exists: name another directory, and merge the manifests by hand"
        raise ConfigError("--out", message)
    try:
        for name, text in texts.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
    except OSError as fault:
        raise ConfigError("--out", f"cannot be written: {fault}") from fault
