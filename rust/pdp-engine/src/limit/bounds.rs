//! What a limit may say: the bounds that keep the arithmetic exact.

use std::time::Duration;

use super::{Algorithm, Counting, Limit};

/// Largest `limit` and `burst`.
pub const MAX_HITS: u64 = 1_000_000_000_000;
/// Largest `limit` of [`Algorithm::Concurrency`]: each hold is remembered by itself.
pub const MAX_HELD: u64 = 100_000;
/// Shortest window.
pub const MIN_WINDOW: Duration = Duration::from_millis(1);
/// Longest window, and longest time in which a burst refills.
pub const MAX_WINDOW: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Why a limit cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// `limit` is 0 or above [`MAX_HITS`].
    #[error("`limit` is {0}: must be 1 to {MAX_HITS}")]
    Limit(u64),
    /// `window` is outside [`MIN_WINDOW`] to [`MAX_WINDOW`].
    #[error("`window` is {0:?}: must be 1ms to 366 days")]
    Window(Duration),
    /// `burst` is 0 or above [`MAX_HITS`].
    #[error("`burst` is {0}: must be 1 to {MAX_HITS}")]
    Burst(u64),
    /// `limit` of a concurrency limit is above [`MAX_HELD`].
    #[error("`limit` is {0}: a concurrency limit must be 1 to {MAX_HELD}")]
    Held(u64),
    /// A node may hold no hits, or more than the limit.
    #[error("`lease` is {most}: must be 1 to the limit, {limit}")]
    Lease {
        /// Hits that one node holds at most.
        most: u64,
        /// Hits admitted within the window.
        limit: u64,
    },
    /// What is held cannot be taken in advance.
    #[error("a concurrency limit is always counted exactly: remove `counting: leased`")]
    LeasedConcurrency,
    /// A spent burst would take more than [`MAX_WINDOW`] to refill.
    #[error("`burst` is {burst}: at {limit} hits per {window:?} it takes more than 366 days to refill")]
    Refill {
        /// Hits admitted at once.
        burst: u64,
        /// Hits admitted within `window`.
        limit: u64,
        /// Window.
        window: Duration,
    },
}

impl Limit {
    /// Checks the bounds: `limit` and `burst` 1 to [`MAX_HITS`] (for concurrency [`MAX_HELD`]), `window`
    /// 1 ms to 366 days, a lease within the limit, and a burst that refills within 366 days. A burst above
    /// `limit` is allowed.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub fn validate(&self) -> Result<(), LimitError> {
        if self.limit == 0 || self.limit > MAX_HITS {
            return Err(LimitError::Limit(self.limit));
        }
        if self.window < MIN_WINDOW || self.window > MAX_WINDOW {
            return Err(LimitError::Window(self.window));
        }
        if let Counting::Leased { most } = self.counting
            && (most == 0 || most > self.limit)
        {
            return Err(LimitError::Lease { most, limit: self.limit });
        }
        if self.algorithm == Algorithm::Concurrency {
            return match self.counting {
                Counting::Leased { .. } => Err(LimitError::LeasedConcurrency),
                Counting::Exact if self.limit > MAX_HELD => Err(LimitError::Held(self.limit)),
                Counting::Exact => Ok(()),
            };
        }
        let Algorithm::Gcra { burst } = self.algorithm else { return Ok(()) };
        if burst == 0 || burst > MAX_HITS {
            return Err(LimitError::Burst(burst));
        }
        // At most 2^40 * 2^55: no overflow.
        let refill = u128::from(burst) * self.window.as_nanos();
        if refill > u128::from(self.limit) * MAX_WINDOW.as_nanos() {
            return Err(LimitError::Refill { burst, limit: self.limit, window: self.window });
        }
        Ok(())
    }
}
