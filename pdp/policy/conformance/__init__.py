"""Runs other people's language cases on this product's engines and says how each came out.

Any directory works that holds `opa/` (YAML cases in the format of OPA's own
suite) or `cel/` (text protobuf in the format of cel-spec's suite, with the
message types in `cel/proto`). Each case runs twice: `loaded` as a policy's
source is loaded, and `below` on the engine without the checks, which shows
what they keep policies from.

    python -m pdp.policy.conformance DIRECTORY --write docs/reference/conformance.md
"""

from pdp.policy.conformance._outcome import Case, Class, Result
from pdp.policy.conformance._report import report
from pdp.policy.conformance._run import run

__all__ = ["Case", "Class", "Result", "report", "run"]
