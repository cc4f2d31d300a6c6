//! One counter per calendar period.

use super::{Calendar, Reading};

/// Hits of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    start_ns: u64,
    /// Start of the next period, so that the calendar is asked once in a period.
    end_ns: u64,
    count: u64,
}

/// Reads `state` at `now_ns` and spends `hits`; the new state holds only if the reading admitted.
///
/// Exact: each period admits at most `limit`. A clock that steps back by at most a period stays in the
/// newer one; after a larger step the count is carried into the earlier period, so nothing is gained.
#[must_use]
pub fn spend(state: State, calendar: Calendar, limit: u64, hits: u64, now_ns: u64) -> (State, Reading) {
    let view = view(state, calendar, now_ns);
    let left = limit.saturating_sub(view.count);
    let until_next = u128::from(view.end_ns) - u128::from(now_ns.min(view.end_ns));
    if hits > left {
        let reset = if view.count == 0 { 0 } else { until_next };
        return (state, Reading::refused(left.into(), reset, (hits <= limit).then_some(until_next)));
    }
    let count = view.count.saturating_add(hits);
    let reset = if count == 0 { 0 } else { until_next };
    (State { count, ..view }, Reading::admitted((left - hits).into(), reset))
}

/// The state with `hits` given back that were spent at `spent_ns`, if that was in its period.
#[must_use]
pub fn give_back(state: State, hits: u64, spent_ns: u64) -> State {
    if (state.start_ns..state.end_ns).contains(&spent_ns) {
        return State { count: state.count.saturating_sub(hits), ..state };
    }
    state
}

/// The state with `hits` spent whether there is room or not.
#[must_use]
pub fn force(state: State, calendar: Calendar, hits: u64, now_ns: u64) -> State {
    let view = view(state, calendar, now_ns);
    State { count: view.count.saturating_add(hits), ..view }
}

fn view(state: State, calendar: Calendar, now_ns: u64) -> State {
    let behind = state.start_ns.saturating_sub(now_ns);
    if now_ns < state.end_ns && behind <= state.end_ns - state.start_ns {
        return state;
    }
    let (start_ns, end_ns) = calendar.around(now_ns);
    State { start_ns, end_ns, count: if behind > 0 { state.count } else { 0 } }
}

impl State {
    /// Start of the period it stands in, in nanoseconds since the epoch.
    #[must_use]
    pub fn start_ns(self) -> u64 {
        self.start_ns
    }

    /// Nanoseconds since the epoch from which the state says nothing any more.
    #[must_use]
    pub fn expires_ns(self) -> u64 {
        self.end_ns
    }
}
