"""What policy authors do: validate, test, compare with other engines."""

from pdp.policy._cases import Case, mismatches, read_cases
from pdp.policy._ratelimit_import import ImportedDomain, RateLimitImport, import_ratelimit
from pdp.policy._suite import Coverage, Outcome, TestReport, TestResult, run_tests
from pdp.policy._validate import Validation, validate
from pdp.policy.cross_check import Difference, Report, Skip, cross_check

__all__ = [
    "Case",
    "Coverage",
    "Difference",
    "ImportedDomain",
    "Outcome",
    "RateLimitImport",
    "Report",
    "Skip",
    "TestReport",
    "TestResult",
    "Validation",
    "cross_check",
    "import_ratelimit",
    "mismatches",
    "read_cases",
    "run_tests",
    "validate",
]
