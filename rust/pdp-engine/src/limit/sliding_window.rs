//! Two aligned windows, the previous one weighted by how much of it still counts.

use super::{Reading, WindowRate};

/// Hits of the window that starts at `start_ns`, and of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    start_ns: u64,
    current: u64,
    previous: u64,
}

/// The state as it stands at a moment.
struct View {
    state: State,
    /// Nanoseconds into the window; 0 where the clock is behind it.
    elapsed: u64,
    /// Nanoseconds that the clock is behind the window.
    behind: u64,
}

/// Reads `state` at `now_ns` and spends `hits`; the new state holds only if the reading admitted.
///
/// With `w` the window and `e` the time since its start, hits are admitted while
/// `previous * (w - e) / w + current + hits <= limit`, compared exactly in integers.
///
/// Exact: each aligned window admits at most `limit`. An estimate: that the previous window's hits
/// were spread evenly. Where they all came at its end, a span of one window that ends at `e` holds up
/// to `limit * (1 + e / w)`, below twice the limit.
///
/// A clock that steps back by at most a window stays at the start of the newer window. After a larger
/// step both windows' hits are carried into the earlier one, so nothing is gained.
#[must_use]
pub fn spend(state: State, rate: WindowRate, hits: u64, now_ns: u64) -> (State, Reading) {
    let window = rate.window_ns.max(1);
    let view = view(state, window, now_ns);
    let (wide, limit) = (u128::from(window), u128::from(rate.limit));
    let elapsed = u128::from(view.elapsed);
    let used = u128::from(view.state.previous) * (wide - elapsed) + u128::from(view.state.current) * wide;
    let free = (limit * wide).saturating_sub(used);

    if u128::from(hits) * wide > free {
        let wait = wait(&view.state, wide, limit, hits.into(), elapsed);
        let reading = Reading::refused(
            u64::try_from(free / wide).unwrap_or(u64::MAX).into(),
            reset(&view.state, wide, elapsed, view.behind),
            wait.map(|wait| wait + u128::from(view.behind)),
        );
        return (state, reading);
    }
    let next = State { current: view.state.current.saturating_add(hits), ..view.state };
    let left = (free - u128::from(hits) * wide) / wide;
    (next, Reading::admitted(left, reset(&next, wide, elapsed, view.behind)))
}

fn view(state: State, window: u64, now_ns: u64) -> View {
    let elapsed = now_ns % window;
    let start_ns = now_ns - elapsed;
    if state.start_ns > now_ns {
        let behind = state.start_ns - now_ns;
        if behind <= window {
            return View { state, elapsed: 0, behind };
        }
        let current = state.current.saturating_add(state.previous);
        return View { state: State { start_ns, current, previous: 0 }, elapsed, behind: 0 };
    }
    let state = match (start_ns.saturating_sub(state.start_ns)) / window {
        0 if state.start_ns == start_ns => state,
        1 => State { start_ns, current: 0, previous: state.current },
        _ => State { start_ns, current: 0, previous: 0 },
    };
    View { state, elapsed, behind: 0 }
}

/// Time until nothing counts any more.
fn reset(state: &State, window: u128, elapsed: u128, behind: u64) -> u128 {
    let left = match (state.current, state.previous) {
        (0, 0) => return 0,
        (0, _) => window - elapsed,
        _ => 2 * window - elapsed,
    };
    left + u128::from(behind)
}

/// Time until `hits`, refused now, fit; `None` where they never do.
fn wait(state: &State, window: u128, limit: u128, hits: u128, elapsed: u128) -> Option<u128> {
    if hits > limit {
        return None;
    }
    // Moment in a window at which `falling` hits have lost enough weight to leave `room`.
    let moment = |falling: u64, room: u128| match u128::from(falling) {
        0 => 0,
        falling => window.saturating_sub(room * window / falling),
    };
    let current = u128::from(state.current);
    if current + hits <= limit {
        return Some(moment(state.previous, limit - current - hits).saturating_sub(elapsed));
    }
    Some(window - elapsed + moment(state.current, limit - hits))
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
        self.start_ns.saturating_add(window_ns.saturating_mul(2))
    }
}
