//! Hits held at once: taken by a holder, given back by it or after a time.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Reading, WindowRate};

/// Holds that a retry looks at; a demand for more hits than these hold is told the last one's end.
const LOOKED_AT: usize = 1024;

/// A counter's holds in sum, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Hits held.
    pub held: u64,
    /// When the first of them ends if nobody gives it back; nanoseconds since the epoch.
    pub first_ends_ns: u64,
    /// When the last of them does.
    pub last_ends_ns: u64,
}

/// Reads `state` at `now_ns` and takes `hits`; the new state holds only if the reading admitted.
///
/// Exact: at most `limit` hits are held at any moment. `window_ns` is how long a hold lasts. The time to a
/// retry is that of the first hold; [`Holds::retry_ns`] knows better.
#[must_use]
pub fn spend(state: State, rate: WindowRate, hits: u64, now_ns: u64) -> (State, Reading) {
    let left = rate.limit.saturating_sub(state.held);
    let until = |moment: u64| u128::from(moment.saturating_sub(now_ns));
    if hits > left {
        let retry = (hits <= rate.limit).then(|| until(state.first_ends_ns));
        return (state, Reading::refused(left.into(), until(state.last_ends_ns), retry));
    }
    let mut next = state;
    if hits > 0 {
        let ends_ns = now_ns.saturating_add(rate.window_ns);
        next.first_ends_ns = if state.held == 0 { ends_ns } else { state.first_ends_ns.min(ends_ns) };
        next.last_ends_ns = state.last_ends_ns.max(ends_ns);
        next.held = state.held.saturating_add(hits);
    }
    let reset = if next.held == 0 { 0 } else { until(next.last_ends_ns) };
    (next, Reading::admitted((left - hits).into(), reset))
}

/// Who holds hits of one counter, and until when.
///
/// Taking and giving back cost the logarithm of the number of holders; a hold that ends is dropped once, by
/// the next call that looks.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    /// When each holder's hold ends.
    ends: HashMap<Uuid, u64, ahash::RandomState>,
    /// Hits by end and holder.
    by_end: BTreeMap<(u64, Uuid), u64>,
    held: u64,
}

impl Holds {
    /// Drops what has ended, and says how the rest stands.
    pub fn state(&mut self, now_ns: u64) -> State {
        while let Some((&(ends_ns, holder), &hits)) = self.by_end.first_key_value() {
            if ends_ns > now_ns {
                break;
            }
            self.by_end.pop_first();
            self.ends.remove(&holder);
            self.held = self.held.saturating_sub(hits);
        }
        State {
            held: self.held,
            first_ends_ns: self.by_end.first_key_value().map_or(0, |((ends_ns, _), _)| *ends_ns),
            last_ends_ns: self.expires_ns(),
        }
    }

    /// Has `holder` hold `hits`, on top of what it holds, until `ends_ns` or until it gives them back.
    pub fn take(&mut self, holder: Uuid, hits: u64, ends_ns: u64) {
        if hits == 0 {
            return;
        }
        let before = self.give_back(holder);
        let hits = before.saturating_add(hits);
        self.ends.insert(holder, ends_ns);
        self.by_end.insert((ends_ns, holder), hits);
        self.held = self.held.saturating_add(hits);
    }

    /// Gives back all that `holder` holds, and says how much that was.
    pub fn give_back(&mut self, holder: Uuid) -> u64 {
        let Some(ends_ns) = self.ends.remove(&holder) else { return 0 };
        let hits = self.by_end.remove(&(ends_ns, holder)).unwrap_or(0);
        self.held = self.held.saturating_sub(hits);
        hits
    }

    /// Time until `hits` fit below `limit` if nobody gives anything back and nothing else is taken; `None`
    /// where they never do.
    #[must_use]
    pub fn retry_ns(&self, hits: u64, limit: u64, now_ns: u64) -> Option<u128> {
        if hits > limit {
            return None;
        }
        let mut missing = self.held.saturating_add(hits).saturating_sub(limit);
        let mut moment = now_ns;
        for (looked_at, (&(ends_ns, _), &held)) in self.by_end.iter().enumerate() {
            if missing == 0 {
                break;
            }
            moment = if looked_at < LOOKED_AT { ends_ns } else { self.expires_ns() };
            missing = if looked_at < LOOKED_AT { missing.saturating_sub(held) } else { 0 };
        }
        Some(u128::from(moment.saturating_sub(now_ns)))
    }

    /// When the last hold ends; 0 where there is none. Nanoseconds since the epoch.
    #[must_use]
    pub fn expires_ns(&self) -> u64 {
        self.by_end.last_key_value().map_or(0, |((ends_ns, _), _)| *ends_ns)
    }

    /// Holders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nobody holds anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 1_000;

    #[derive(Clone, Debug)]
    enum Step {
        Take(u128, u64),
        GiveBack(u128),
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
        let step = prop_oneof![
            2 => (0_u128..8, 0_u64..5).prop_map(|(holder, hits)| Step::Take(holder, hits)),
            1 => (0_u128..8).prop_map(Step::GiveBack),
        ];
        prop::collection::vec((step, 0_u64..400), 1..80)
    }

    proptest! {
        /// The model is a plain list of holder, hits and end.
        #[test]
        fn holds_agree_with_a_plain_list_and_never_pass_the_limit(steps in steps(), limit in 1_u64..9) {
            let (mut holds, mut list) = (Holds::default(), Vec::<(u128, u64, u64)>::new());
            let rate = WindowRate { limit, window_ns: WINDOW };
            let mut now = 1_700_000_000;
            for (step, gap) in steps {
                now += gap;
                list.retain(|(_, _, ends)| *ends > now);
                let held = |list: &[(u128, u64, u64)]| list.iter().map(|it| it.1).sum::<u64>();
                match step {
                    Step::GiveBack(holder) => {
                        let gone: u64 = list.iter().filter(|it| it.0 == holder).map(|it| it.1).sum();
                        holds.state(now);
                        prop_assert_eq!(holds.give_back(Uuid::from_u128(holder)), gone);
                        list.retain(|it| it.0 != holder);
                    }
                    Step::Take(holder, hits) => {
                        let (_, reading) = spend(holds.state(now), rate, hits, now);
                        prop_assert_eq!(reading.admitted, held(&list) + hits <= limit);
                        if reading.admitted && hits > 0 {
                            holds.take(Uuid::from_u128(holder), hits, now + WINDOW);
                            let before: u64 = list.iter().filter(|it| it.0 == holder).map(|it| it.1).sum();
                            list.retain(|it| it.0 != holder);
                            list.push((holder, before + hits, now + WINDOW));
                        } else if !reading.admitted && let Some(retry) = holds.retry_ns(hits, limit, now) {
                            let at = |moment: u64| holds.clone().state(moment).held + hits <= limit;
                            prop_assert!(at(now + retry as u64) && !at(now + retry as u64 - 1));
                        }
                        prop_assert_eq!(reading.remaining, limit - held(&list));
                    }
                }
                let state = holds.state(now);
                prop_assert_eq!(state.held, held(&list));
                prop_assert!(state.held <= limit);
                prop_assert_eq!(holds.len(), list.len());
                prop_assert_eq!(state.last_ends_ns, list.iter().map(|it| it.2).max().unwrap_or(0));
            }
        }
    }

    #[test]
    fn numbers_never_overflow() {
        let mut holds = Holds::default();
        holds.take(Uuid::from_u128(1), u64::MAX, u64::MAX);
        holds.take(Uuid::from_u128(2), u64::MAX, u64::MAX);
        let rate = WindowRate { limit: 1, window_ns: u64::MAX };
        assert!(!spend(holds.state(0), rate, u64::MAX, u64::MAX).1.admitted);
        assert_eq!(holds.retry_ns(u64::MAX, 1, 0), None);
    }
}
