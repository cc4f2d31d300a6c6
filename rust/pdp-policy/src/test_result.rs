//! What the test of a policy came to, the same for every engine.

use std::time::Duration;

/// One test's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The Rego package or the CEL policy's name.
    pub package: String,
    /// The test's name.
    pub name: String,
    /// File that holds the test, as in [`crate::Source::path`].
    pub file: String,
    /// Row of the test in its file, from 1.
    pub row: u32,
    /// How it ended.
    pub outcome: TestOutcome,
    /// Wall time the test took.
    pub duration: Duration,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestOutcome {
    /// As expected.
    Pass,
    /// Ran, with another answer than expected.
    Fail {
        /// What was expected and what came.
        message: String,
    },
    /// Did not run to an answer.
    Error {
        /// What failed.
        message: String,
    },
}
