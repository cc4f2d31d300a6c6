//! Nine counters over a window and an eighth: strict in any span of a window.

use super::{Reading, WindowRate};

/// Parts that a window is counted in.
const PARTS: u64 = 8;
/// Slots that can overlap one window: its parts, and the one it begins in.
const SLOTS: usize = 9;

/// Hits of the nine slots that end with `slot`; slot `n` is at `n % 9`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    slot: u64,
    counts: [u64; SLOTS],
}

/// Reads `state` at `now_ns` and spends `hits`; the new state holds only if the reading admitted.
///
/// Time is cut into slots of an eighth of the window, rounded up to a whole nanosecond. Hits count while
/// the slots that overlap the last window, nine in all, hold at most `limit`; each counts whole.
///
/// Exact: any span of one window admits at most `limit`, since such a span overlaps only slots that were
/// counted when its last hit was admitted. A hit leaves after one to 9/8 windows, so the rate that is
/// sustained may be a ninth lower than `limit` per window, and never higher.
///
/// A clock that steps back by at most a window stays in the newer slot. After a larger step all hits are
/// carried into the earlier slot, so nothing is gained.
#[must_use]
pub fn spend(state: State, rate: WindowRate, hits: u64, now_ns: u64) -> (State, Reading) {
    let wide = slot_ns(rate.window_ns);
    let view = view(state, wide, now_ns);
    let left = rate.limit.saturating_sub(view.sum());
    if hits > left {
        let retry = view.retry(wide, rate.limit, hits, now_ns);
        return (state, Reading::refused(left.into(), view.reset(wide, now_ns), retry));
    }
    let next = view.with(hits);
    (next, Reading::admitted((left - hits).into(), next.reset(wide, now_ns)))
}

/// The state with `hits` given back that were spent at `spent_ns`, if they still count.
#[must_use]
pub fn give_back(state: State, window_ns: u64, hits: u64, spent_ns: u64) -> State {
    let slot = spent_ns / slot_ns(window_ns);
    let mut next = state;
    if state.slots().contains(&slot)
        && let Some(count) = next.counts.get_mut(place(slot))
    {
        *count = count.saturating_sub(hits);
    }
    next
}

/// The state with `hits` spent whether there is room or not.
#[must_use]
pub fn force(state: State, window_ns: u64, hits: u64, now_ns: u64) -> State {
    view(state, slot_ns(window_ns), now_ns).with(hits)
}

/// Width of a slot.
fn slot_ns(window_ns: u64) -> u64 {
    window_ns.div_ceil(PARTS).max(1)
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

/// The state as it stands at a moment.
fn view(state: State, wide: u64, now_ns: u64) -> State {
    let slot = now_ns / wide;
    if slot <= state.slot {
        if state.slot - slot <= PARTS {
            return state;
        }
        return State { slot, counts: [0; SLOTS] }.with(state.sum());
    }
    let mut next = State { slot, ..state };
    for passed in 1..=(slot - state.slot).min(SLOTS as u64) {
        if let Some(count) = next.counts.get_mut(place(state.slot + passed)) {
            *count = 0;
        }
    }
    next
}

impl State {
    /// Slots that count, oldest first.
    fn slots(&self) -> std::ops::RangeInclusive<u64> {
        self.slot.saturating_sub(PARTS)..=self.slot
    }

    fn count(&self, slot: u64) -> u64 {
        self.counts.get(place(slot)).copied().unwrap_or(0)
    }

    fn sum(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn with(mut self, hits: u64) -> Self {
        if let Some(count) = self.counts.get_mut(place(self.slot)) {
            *count = count.saturating_add(hits);
        }
        self
    }

    /// Time until nothing counts any more.
    fn reset(&self, wide: u64, now_ns: u64) -> u128 {
        let newest = self.slots().rev().find(|slot| self.count(*slot) > 0);
        newest.map_or(0, |slot| leaves(slot, wide, now_ns))
    }

    /// Time until `hits`, refused now, fit; `None` where they never do.
    fn retry(&self, wide: u64, limit: u64, hits: u64, now_ns: u64) -> Option<u128> {
        let room = limit.checked_sub(hits)?;
        let mut counted = self.sum();
        let last = self.slots().find(|slot| {
            counted = counted.saturating_sub(self.count(*slot));
            counted <= room
        });
        last.map(|slot| leaves(slot, wide, now_ns))
    }

    /// The slot it stands in; slots are an eighth of a window, from the epoch.
    #[must_use]
    pub fn slot(self) -> u64 {
        self.slot
    }

    /// Nanoseconds since the epoch from which the state says nothing any more.
    #[must_use]
    pub fn expires_ns(self, window_ns: u64) -> u64 {
        self.slot.saturating_add(SLOTS as u64).saturating_mul(slot_ns(window_ns))
    }
}

/// Time until the hits of `slot` count no more.
fn leaves(slot: u64, wide: u64, now_ns: u64) -> u128 {
    ((u128::from(slot) + SLOTS as u128) * u128::from(wide)).saturating_sub(now_ns.into())
}
