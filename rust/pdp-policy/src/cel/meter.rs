//! What an evaluation has spent. The engine below has no budget of its own, so the
//! expressions are compiled to tick this meter once a loop pass and to weigh what they copy.

use std::cell::Cell;
use std::time::Instant;

use crate::program::{Budget, EvalError};

/// Assumed bytes of memory behind one copied value.
const NODE_BYTES: u64 = 64;

/// Why an evaluation has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    Time,
    Instructions,
    Memory,
}

thread_local! {
    // One evaluation at a time runs on a thread, and the engine's functions are plain
    // function pointers that no state can be handed to.
    static INSTRUCTIONS: Cell<u64> = const { Cell::new(0) };
    static MEMORY: Cell<u64> = const { Cell::new(0) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static SPENT: Cell<Option<Spent>> = const { Cell::new(None) };
}

/// Starts metering on this thread.
pub(super) fn start(budget: &Budget) {
    INSTRUCTIONS.set(budget.instructions);
    MEMORY.set(budget.memory_bytes);
    DEADLINE.set(Instant::now().checked_add(budget.time));
    SPENT.set(None);
}

/// The error of a budget that was passed, whatever the evaluation itself came to.
pub(super) fn finish() -> Result<(), EvalError> {
    tick(0);
    match SPENT.take() {
        None => Ok(()),
        Some(Spent::Time) => Err(EvalError::Timeout),
        Some(Spent::Instructions) => Err(EvalError::Instructions),
        Some(Spent::Memory) => Err(EvalError::Memory),
    }
}

/// Spends `steps` and looks at the clock; false once a budget is passed, and ever after.
pub(super) fn tick(steps: u64) -> bool {
    spend(steps) && {
        let late = DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline);
        if late {
            SPENT.set(Some(Spent::Time));
        }
        !late
    }
}

/// Spends `steps` without looking at the clock.
pub(super) fn spend(steps: u64) -> bool {
    if SPENT.get().is_some() {
        return false;
    }
    if let Some(left) = INSTRUCTIONS.get().checked_sub(steps) {
        INSTRUCTIONS.set(left);
        true
    } else {
        SPENT.set(Some(Spent::Instructions));
        false
    }
}

/// Spends the memory and the steps of a copy of `nodes` values with `bytes` of text.
pub(super) fn copy(nodes: u64, bytes: u64) -> bool {
    if !spend(nodes) {
        return false;
    }
    let needed = nodes.saturating_mul(NODE_BYTES).saturating_add(bytes);
    if let Some(left) = MEMORY.get().checked_sub(needed) {
        MEMORY.set(left);
        true
    } else {
        SPENT.set(Some(Spent::Memory));
        false
    }
}
