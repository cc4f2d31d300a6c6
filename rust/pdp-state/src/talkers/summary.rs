//! What sketches say together.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::sketch::{Count, Sketch, UNIT};
use super::{Talker, TalkerKind};

/// Counts of one kind, added up.
///
/// Merging after P. K. Agarwal et al., "Mergeable Summaries", PODS 2012: a name that one side does
/// not hold may have been seen there as often as that side's least count, no oftener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) counts: HashMap<Vec<u8>, Bounds>,
    /// At most how often any name was seen that is not among the counts.
    pub(super) unseen: u64,
}

/// Between what a count lies, in [`UNIT`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) upper: u64,
    pub(super) lower: u64,
    pub(super) refused: u64,
}

impl Summary {
    pub(super) fn of(sketch: &Sketch) -> Self {
        let bounds = |Count { name, upper, lower, refused }| (name, Bounds { upper, lower, refused });
        Self { counts: sketch.counts().map(bounds).collect(), unseen: sketch.unseen() }
    }

    /// What both have seen.
    pub(super) fn merge(mut self, mut other: Self) -> Self {
        for (name, bounds) in &mut self.counts {
            let there = other.counts.remove(name);
            let there = there.unwrap_or(Bounds { upper: other.unseen, ..Bounds::default() });
            bounds.upper = bounds.upper.saturating_add(there.upper);
            bounds.lower = bounds.lower.saturating_add(there.lower);
            bounds.refused = bounds.refused.saturating_add(there.refused);
        }
        for (name, mut bounds) in other.counts {
            bounds.upper = bounds.upper.saturating_add(self.unseen);
            self.counts.insert(name, bounds);
        }
        self.unseen = self.unseen.saturating_add(other.unseen);
        self
    }

    /// The busiest `most`, those of less than half a request left out.
    pub(super) fn top(self, kind: TalkerKind, most: usize) -> Vec<Talker> {
        let mut counts: Vec<_> = self.counts.into_iter().filter(|(_, b)| b.upper >= UNIT / 2).collect();
        // By name where counts are equal, so that two looks show one order.
        counts.sort_unstable_by(|(a, x), (b, y)| {
            (y.upper, y.lower).cmp(&(x.upper, x.lower)).then_with(|| a.cmp(b))
        });
        counts.truncate(most);
        counts.into_iter().map(|(name, bounds)| talker(kind, &name, bounds)).collect()
    }
}

fn talker(kind: TalkerKind, name: &[u8], bounds: Bounds) -> Talker {
    let requests = bounds.upper.div_ceil(UNIT);
    let error = requests - bounds.lower / UNIT;
    Talker { kind, name: written(kind, name), requests, error, refused: bounds.refused / UNIT }
}

/// The parts of a limit's key (`pdp_engine::limit::encode_key`) with spaces between them; a key that is
/// not written so, or was cut, stays as it is.
fn parts(text: &str) -> Cow<'_, str> {
    let decoded = || {
        let (limit, mut rest) = text.split_once(' ')?;
        let mut whole = limit.to_owned();
        while !rest.is_empty() {
            let (length, after) = rest.split_once(':')?;
            let (part, after) = after.split_at_checked(length.parse().ok()?)?;
            whole.push(' ');
            whole.push_str(part);
            rest = after.strip_prefix(';')?;
        }
        Some(whole)
    };
    decoded().map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A name that is safe to show: it may hold what a caller sent.
fn written(kind: TalkerKind, name: &[u8]) -> String {
    match (kind, name) {
        (TalkerKind::Network, [a, b, c]) => format!("{}/24", Ipv4Addr::new(*a, *b, *c, 0)),
        (TalkerKind::Network, bytes) => {
            let mut octets = [0; 16];
            octets.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            format!("{}/64", Ipv6Addr::from(octets))
        }
        _ => {
            let text = String::from_utf8_lossy(name);
            let text = if kind == TalkerKind::LimitKey { parts(&text) } else { text };
            let mut safe = String::with_capacity(text.len());
            for character in text.chars() {
                if character.is_control() {
                    safe.extend(character.escape_default());
                } else {
                    safe.push(character);
                }
            }
            safe
        }
    }
}
