"""The SDK works where the core is not installed."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_CORE = """
import sys

class NoCore:
    def find_spec(self, name, path=None, target=None):
        if name == "pdp._core":
            raise ImportError("the core is not here")

sys.meta_path.insert(0, NoCore())
import pdp, pdp.client, pdp.errors, pdp.model, pdp.testing, pdp._proto.decision_pb2
pdp.Client("127.0.0.1:1").close()
assert not any(name == "pdp.engine" or name.startswith("pdp.engine.") for name in sys.modules)
try:
    pdp.Engine
except ImportError as fault:
    assert "core" in str(fault)
else:
    raise AssertionError("the engine needs the core")
"""


def test_sdk_imports_without_the_core() -> None:
    """Client, model, errors and the test client need nothing that is compiled here."""
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_CORE], check=True)


def test_unknown_name_is_an_attribute_error() -> None:
    """The lazy loader does not swallow misspellings."""
    run = subprocess.run(
        [sys.executable, "-c", "import pdp; pdp.Engin"], check=False, capture_output=True, text=True
    )
    assert "AttributeError: module `pdp` has no attribute `Engin`" in run.stderr
