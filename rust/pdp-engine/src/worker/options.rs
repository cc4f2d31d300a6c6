//! What a worker may use, and what it says of itself.

use std::time::Duration;

use crate::request::Text;

/// What a worker may use.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Answers to remember; 0 remembers none.
    pub memo_entries: usize,
    /// Budget of one evaluation, unless a policy has its own.
    pub budget: BudgetOptions,
}

/// Budget of one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct BudgetOptions {
    /// Wall time.
    pub time: Duration,
    /// Statements in Rego, expression nodes in CEL.
    pub instructions: u64,
    /// Bytes of values an evaluation makes.
    pub memory_bytes: u64,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            memo_entries: 65_536,
            budget: BudgetOptions {
                time: Duration::from_millis(50),
                instructions: 1_000_000,
                memory_bytes: 64 << 20,
            },
        }
    }
}

/// Why a request cannot be decided by this policy set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// `required_policies[index]` does not exist.
    #[error("required policy {index} does not exist in the active policy set")]
    PolicyUnknown {
        /// Position in the request's list.
        index: usize,
    },
    /// The request wants another revision.
    #[error("the active policy revision is `{active}`")]
    RevisionNotActive {
        /// The active revision.
        active: Text,
    },
}

/// How often a memo answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoStats {
    /// Stages answered from the memo.
    pub hits: u64,
    /// Stages that could have been and were not there.
    pub misses: u64,
}
