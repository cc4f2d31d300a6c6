"""Runs the command as `python -m pdp.cli`."""

from pdp.cli import main

main()
