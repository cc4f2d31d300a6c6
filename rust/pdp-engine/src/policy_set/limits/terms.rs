//! The terms of one limit, as a list or a Rego policy states them, and the limit they come to.

use std::time::Duration;

use chrono_tz::Tz;
use serde::Deserialize;

use crate::limit::{Algorithm, Calendar, Counting, Limit, Outage, Period, Scope};

/// Longest name of a limit, in bytes.
const MAX_NAME: usize = 128;
/// Part of a limit that one node holds by default, as a divisor.
const LEASE_PART: u64 = 20;

/// An algorithm as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlgorithmName {
    Gcra,
    FixedWindow,
    SlidingWindow,
    Quota,
    Concurrency,
}

/// A way of counting as people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CountingName {
    #[default]
    Exact,
    Leased,
}

/// The terms of a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) name: &'a str,
    pub(crate) algorithm: Option<AlgorithmName>,
    pub(crate) limit: Option<u64>,
    pub(crate) burst: Option<u64>,
    pub(crate) window: Option<Duration>,
    pub(crate) per: Option<Period>,
    pub(crate) zone: Option<&'a str>,
    pub(crate) hold: Option<Duration>,
    pub(crate) scope: Scope,
    pub(crate) counting: CountingName,
    pub(crate) lease: Option<u64>,
    pub(crate) on_outage: Outage,
}

impl Terms<'_> {
    /// The limit, checked.
    ///
    /// # Errors
    /// What is wrong and how to mend it.
    pub(crate) fn limit(&self) -> Result<Limit, String> {
        name(self.name)?;
        let algorithm = self.algorithm.ok_or("`algorithm` is missing: write `gcra`, for one")?;
        let most = self.limit.ok_or("`limit` is missing: write how many hits it admits")?;
        self.only_for(algorithm)?;
        let limit = match algorithm {
            AlgorithmName::Gcra => {
                self.windowed(Algorithm::Gcra { burst: self.burst.unwrap_or(most) }, most)?
            }
            AlgorithmName::FixedWindow => self.windowed(Algorithm::FixedWindow, most)?,
            AlgorithmName::SlidingWindow => self.windowed(Algorithm::SlidingWindow, most)?,
            AlgorithmName::Quota => Limit::quota(self.name, self.calendar()?, most),
            AlgorithmName::Concurrency => {
                let hold = self.hold.ok_or("`hold` is missing: write how long a hold lasts, as in `30s`")?;
                Limit::new(self.name, Algorithm::Concurrency, most, hold)
            }
        };
        let counting = match self.counting {
            CountingName::Exact => Counting::Exact,
            CountingName::Leased => {
                Counting::Leased { most: self.lease.unwrap_or_else(|| (most / LEASE_PART).max(1)) }
            }
        };
        let limit = Limit { counting, scope: self.scope, outage: self.on_outage, ..limit };
        limit.validate().map_err(|error| match algorithm {
            AlgorithmName::Concurrency => error.to_string().replace("`window`", "`hold`"),
            _ => error.to_string(),
        })?;
        Ok(limit)
    }

    /// Refuses what says nothing beside `algorithm`: it would be read as if it did.
    fn only_for(&self, algorithm: AlgorithmName) -> Result<(), String> {
        let refuse = |what: &str| Err(what.to_owned());
        if self.burst.is_some() && algorithm != AlgorithmName::Gcra {
            return refuse("`burst` goes with `algorithm: gcra` only");
        }
        if (self.per.is_some() || self.zone.is_some()) && algorithm != AlgorithmName::Quota {
            return refuse("`per` and `zone` go with `algorithm: quota` only");
        }
        if self.hold.is_some() && algorithm != AlgorithmName::Concurrency {
            return refuse("`hold` goes with `algorithm: concurrency` only");
        }
        if self.lease.is_some() && self.counting != CountingName::Leased {
            return refuse("`lease` goes with `counting: leased` only");
        }
        match algorithm {
            AlgorithmName::Quota if self.window.is_some() => {
                refuse("a quota takes `per: day` or `per: month` instead of `window`")
            }
            AlgorithmName::Concurrency if self.window.is_some() => {
                refuse("a concurrency limit takes `hold` instead of `window`")
            }
            _ => Ok(()),
        }
    }

    fn windowed(&self, algorithm: Algorithm, most: u64) -> Result<Limit, String> {
        let window = self.window.ok_or("`window` is missing: write a duration, as in `60s`")?;
        Ok(Limit::new(self.name, algorithm, most, window))
    }

    fn calendar(&self) -> Result<Calendar, String> {
        let period = self.per.ok_or("`per` is missing: write `day` or `month`")?;
        let zone = self.zone.unwrap_or("UTC");
        let zone = zone.parse::<Tz>().map_err(|_| {
            let zone = zone.escape_debug();
            format!("`zone` is `{zone}`: must be the IANA name of a time zone, such as `Europe/Berlin`")
        })?;
        Ok(Calendar { period, zone })
    }
}

/// Checks the name of a limit.
pub(crate) fn name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err("`name` must have 1 to 128 bytes and no control characters".to_owned());
    }
    Ok(())
}
