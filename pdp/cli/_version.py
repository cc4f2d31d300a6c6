"""`pdp version`."""

from __future__ import annotations

import platform

from pdp import __version__
from pdp.cli._options import AsJson
from pdp.cli._output import OUT, document


def version(*, as_json: AsJson = False) -> None:
    """Tells the versions of the package, its core and the interpreter."""
    from pdp import _core  # noqa: PLC0415 - other commands must not pay for it

    versions = {"pdp": __version__, "core": _core.version(), "python": platform.python_version()}
    if as_json:
        document(versions)
        return
    OUT.print(", ".join(f"{name} {number}" for name, number in versions.items()))
