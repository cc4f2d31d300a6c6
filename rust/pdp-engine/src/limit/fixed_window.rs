//! One counter per window, aligned to the epoch.

use super::{Reading, WindowRate};

/// Hits of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    start_ns: u64,
    count: u64,
}

/// Reads `state` at `now_ns` and spends `hits`; the new state holds only if the reading admitted.
///
/// Exact: each aligned window admits at most `limit`; so any span of one window at most twice that.
/// A clock that steps back by at most a window stays in the newer window. After a larger step the
/// count is carried into the earlier window, so each window passed again admits at most `limit`.
#[must_use]
pub fn spend(state: State, rate: WindowRate, hits: u64, now_ns: u64) -> (State, Reading) {
    let window = rate.window_ns.max(1);
    let State { start_ns: start, count } = view(state, window, now_ns);
    let left = rate.limit.saturating_sub(count);
    let until_next = u128::from(start) + u128::from(window) - u128::from(now_ns);
    if hits > left {
        let reset = if count == 0 { 0 } else { until_next };
        return (state, Reading::refused(left.into(), reset, (hits <= rate.limit).then_some(until_next)));
    }
    let count = count.saturating_add(hits);
    let reset = if count == 0 { 0 } else { until_next };
    (State { start_ns: start, count }, Reading::admitted((left - hits).into(), reset))
}

/// The state with `hits` given back that were spent at `spent_ns`, if that was in its window.
#[must_use]
pub fn give_back(state: State, window_ns: u64, hits: u64, spent_ns: u64) -> State {
    let window = window_ns.max(1);
    if spent_ns - spent_ns % window == state.start_ns {
        return State { count: state.count.saturating_sub(hits), ..state };
    }
    state
}

/// The state with `hits` spent whether there is room or not.
#[must_use]
pub fn force(state: State, window_ns: u64, hits: u64, now_ns: u64) -> State {
    let view = view(state, window_ns.max(1), now_ns);
    State { count: view.count.saturating_add(hits), ..view }
}

/// The state as it stands at a moment.
fn view(state: State, window: u64, now_ns: u64) -> State {
    let aligned = now_ns - now_ns % window;
    let start_ns =
        if state.start_ns > now_ns && state.start_ns - now_ns <= window { state.start_ns } else { aligned };
    State { start_ns, count: if state.start_ns >= start_ns { state.count } else { 0 } }
}

impl State {
    /// Start of the window it stands in, in nanoseconds since the epoch.
    #[must_use]
    pub fn start_ns(self) -> u64 {
        self.start_ns
    }

    /// Nanoseconds since the epoch from which the state says nothing any more.
    #[must_use]
    pub fn expires_ns(self, window_ns: u64) -> u64 {
        self.start_ns.saturating_add(window_ns)
    }
}
