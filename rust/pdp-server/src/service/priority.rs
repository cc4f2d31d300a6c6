//! Which calls matter more, and what a call is refused for.

use http::HeaderMap;

/// Metadata that names a call's priority.
const PRIORITY: &str = "pdp-priority";
/// Wait from which on all sheddable calls are refused, and the default ones begin to be, in targets.
const SHEDDABLE_END: f64 = 2.0;
/// Wait from which on all default calls are refused, in targets.
const DEFAULT_END: f64 = 5.0;

/// How much a call matters to its caller; the less, the earlier it is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Refused only at the bound on calls in progress.
    Critical,
    /// What says nothing else.
    #[default]
    Default,
    /// Refused first.
    Sheddable,
}

impl Priority {
    /// All priorities, the most important first.
    pub(crate) const ALL: [Self; 3] = [Self::Critical, Self::Default, Self::Sheddable];

    /// Reads a call's priority; a value that is none of the three is the default.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(PRIORITY).map(http::HeaderValue::as_bytes) {
            Some(b"critical") => Self::Critical,
            Some(b"sheddable") => Self::Sheddable,
            _ => Self::Default,
        }
    }

    /// Its name in metadata and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Sheddable => "sheddable",
        }
    }

    /// How many of `most` calls in progress a call of this priority may make full.
    pub(super) fn places(self, most: u64) -> u64 {
        match self {
            Self::Critical => most,
            Self::Default => most - most / 20,
            Self::Sheddable => most - most / 5,
        }
    }

    /// The chance of being refused for a wait, given in targets, while a queue stands.
    pub(super) fn chance(self, wait: f64) -> f64 {
        let rise = |from: f64, to: f64| ((wait - from) / (to - from)).clamp(0.0, 1.0);
        match self {
            Self::Critical => 0.0,
            Self::Default => rise(SHEDDABLE_END, DEFAULT_END),
            Self::Sheddable => rise(1.0, SHEDDABLE_END),
        }
    }
}

/// Why a call was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShedReason {
    /// Too many calls are in progress.
    InFlight,
    /// Calls wait too long.
    Queue,
    /// The call's deadline leaves less time than a decision takes.
    Deadline,
}

impl ShedReason {
    /// All reasons.
    pub(crate) const ALL: [Self; 3] = [Self::InFlight, Self::Queue, Self::Deadline];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Queue => "queue",
            Self::Deadline => "deadline",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_priority_is_the_default() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(PRIORITY, text.parse().unwrap());
            Priority::of(&headers)
        };
        assert_eq!(of("critical"), Priority::Critical);
        assert_eq!(of("sheddable"), Priority::Sheddable);
        for text in ["default", "", "CRITICAL", "critical,sheddable", "0"] {
            assert_eq!(of(text), Priority::Default, "{text}");
        }
        assert_eq!(Priority::of(&HeaderMap::new()), Priority::Default);
    }

    proptest! {
        #[test]
        fn who_matters_more_is_never_shed_before_who_matters_less(
            wait in 0..200_000u32, most in 1..100_000u64, in_flight in 0..120_000u64,
        ) {
            let wait = f64::from(wait) / 5_000.0;
            for pair in Priority::ALL.windows(2) {
                // With one draw for both: whatever refuses the first refuses the second.
                prop_assert!(pair[0].chance(wait) <= pair[1].chance(wait));
                prop_assert!(pair[0].places(most) >= pair[1].places(most));
            }
            prop_assert_eq!(Priority::Critical.chance(wait), 0.0);
            prop_assert_eq!(Priority::Critical.places(most), most);
            // The default ones are touched only where all sheddable ones are refused.
            prop_assert!(Priority::Default.chance(wait) == 0.0 || Priority::Sheddable.chance(wait) == 1.0);
            prop_assert!(Priority::Sheddable.places(most) >= 1 || in_flight == 0 || most == 0);
        }
    }
}
