"""How the command speaks: results on standard output, faults on standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

# Results may hold brackets; they are data, not markup.
OUT = Console(markup=False, highlight=False, soft_wrap=True)
ERR = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


def failure(message: str) -> None:
    """One fault on standard error; several lines only where there are several faults."""
    for line in message.splitlines() or [""]:
        ERR.print(f"pdp: {line}", style="red")


def document(value: Any) -> None:
    """A JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
