//! How fast a counter is used, and how many hits that asks for.

/// What a grant should last for.
const HORIZON_NS: f64 = 50_000_000.0;
/// Hits of a grant to a slow counter that uses them within half of their life.
const SLOW: f64 = 16.0;

/// Hits that 50 ms used of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    per_horizon: f64,
    used: u64,
    since_ns: u64,
}

impl Rate {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { per_horizon: 0.0, used: 0, since_ns: now_ns }
    }

    pub(super) fn used(&mut self, hits: u64) {
        self.used = self.used.saturating_add(hits);
    }

    /// Hits that would have been used, had they been there.
    pub(super) fn missed(&mut self, hits: u64) {
        self.used(hits);
    }

    /// Hits to ask for: what the next 50 ms need, or, of a counter that needs less, some more where
    /// half of a lease's life would use them.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn wanted(&mut self, lifetime_ns: u64, now_ns: u64) -> u64 {
        let elapsed_ns = now_ns.saturating_sub(self.since_ns) as f64;
        let used = self.used as f64;
        // A shorter time than the horizon weighs by its share, so grants double while they are too small.
        self.per_horizon = if elapsed_ns < HORIZON_NS {
            self.per_horizon * (1.0 - elapsed_ns / HORIZON_NS) + used
        } else {
            used * HORIZON_NS / elapsed_ns
        };
        (self.used, self.since_ns) = (0, now_ns);
        let half_life = self.per_horizon * (lifetime_ns as f64 / 2.0) / HORIZON_NS;
        self.per_horizon.max(half_life.min(SLOW)) as u64
    }
}
