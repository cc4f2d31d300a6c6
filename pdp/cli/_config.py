"""`pdp config show|explain|reference`."""

from __future__ import annotations

from typing import Any

import typer

from pdp.cli._options import AsJson, ConfigFile
from pdp.cli._options import settings as load_settings
from pdp.cli._output import OUT, document
from pdp.config import Loaded, reference, settings
from pdp.config import Visibility as _Visibility

app = typer.Typer(help="Shows and explains settings.", no_args_is_help=True, rich_markup_mode=None)

_MASK = "********"


@app.command()
def show(*, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Prints the settings in force; sensitive values are masked."""
    values = _values(load_settings(config))
    if as_json:
        document(values)
        return
    for key, value in values.items():
        OUT.print(f"{key}: {_word(value)}")


@app.command()
def explain(*, config: ConfigFile = None) -> None:
    """Prints each setting with its value, where that came from, and its meaning."""
    loaded = load_settings(config)
    values = _values(loaded)
    for one in settings():
        if one.key in values:
            origin = loaded.origins.get(one.key, "default")
            OUT.print(f"{one.key}: {_word(values[one.key])}  ({origin})", style="bold")
            OUT.print(f"    {one.description}")


@app.command("reference")
def print_reference() -> None:
    """Prints the reference page of all settings, in Markdown."""
    typer.echo(reference(), nl=False)


def _values(loaded: Loaded) -> dict[str, Any]:
    """Values by dotted key; of a group that is not set, none."""
    values: dict[str, Any] = {}
    for one in settings():
        value: Any = loaded.config.model_dump(mode="json")
        for part in one.key.split("."):
            value = None if value is None else value.get(part)
        if one.visibility is _Visibility.HIDDEN:
            continue
        masked = one.visibility is _Visibility.SENSITIVE and value is not None
        values[one.key] = _MASK if masked else value
    return values


def _word(value: Any) -> str:
    """A value as a person would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
