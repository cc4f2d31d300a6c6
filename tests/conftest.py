"""What holds for all tests."""

from __future__ import annotations

import os

# Commands that tests start use the installed package, as the tests themselves do:
# the checkout's own would be found first, and it has no compiled core.
os.environ["PYTHONSAFEPATH"] = "1"
