//! What each limit said, counted per thread under names of the policy set alone.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pdp_engine::limit::LimitOutcome;
use pdp_engine::{LimitStatus, PolicySet, Text};

use super::Counter;
use super::render::head;

/// A limit is near when fewer than one in so many of its hits is left.
const NEAR: u64 = 10;
/// Results in the order of their counters. Each status counts as one of them.
const RESULTS: [&str; 4] = ["allowed", "denied", "near", "fault"];

/// Policy and limit.
type Name = (Text, Text);

/// What one thread counts of the limits of one set.
#[derive(Debug, Default)]
pub(crate) struct LimitMetrics {
    /// Sorted by name.
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: Name,
    results: [Counter; 4],
    /// The bound that was stated last.
    overshoot: Counter,
}

/// Every thread's counters.
#[derive(Debug, Default)]
pub(crate) struct LimitTables(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    live: Vec<Arc<LimitMetrics>>,
    /// Sums of tables that nobody counts in any more.
    retired: BTreeMap<Name, [u64; 4]>,
}

impl LimitMetrics {
    /// Counts what the limits of one decision said.
    pub(crate) fn counted(&self, statuses: &[LimitStatus]) {
        for status in statuses {
            let key = (status.policy_id.as_ref(), status.name.as_ref());
            let found =
                self.rows.binary_search_by(|row| (row.name.0.as_ref(), row.name.1.as_ref()).cmp(&key));
            let Some(row) = found.ok().and_then(|at| self.rows.get(at)) else { continue };
            if let Some(counter) = row.results.get(result(&status.outcome, status.limit)) {
                counter.add(1);
            }
            row.overshoot.set(status.outcome.overshoot);
        }
    }
}

/// Position in [`RESULTS`].
fn result(outcome: &LimitOutcome, limit: u64) -> usize {
    match outcome {
        LimitOutcome { fault: Some(_), .. } => 3,
        LimitOutcome { admitted: false, .. } => 1,
        LimitOutcome { remaining, .. } if *remaining < limit.div_ceil(NEAR) => 2,
        LimitOutcome { .. } => 0,
    }
}

impl LimitTables {
    /// Counters for a thread that begins to serve `set`.
    pub(crate) fn register(&self, set: &PolicySet) -> Arc<LimitMetrics> {
        let mut rows: Vec<Row> = set
            .limits()
            .map(|(policy, limit)| Row {
                name: (policy.id.clone(), limit.name.clone()),
                results: Default::default(),
                overshoot: Counter::default(),
            })
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let metrics = Arc::new(LimitMetrics { rows });
        let mut tables = self.tables();
        tables.retire();
        // Names that are gone are forgotten: what is kept is bounded by the set.
        tables.retired.retain(|name, _| metrics.rows.binary_search_by(|row| row.name.cmp(name)).is_ok());
        tables.live.push(metrics.clone());
        metrics
    }

    /// Writes the counters of `set`'s limits.
    pub(super) fn write(&self, out: &mut String, set: &PolicySet) -> fmt::Result {
        let mut sums: BTreeMap<Name, ([u64; 4], u64)> = set
            .limits()
            .map(|(policy, limit)| ((policy.id.clone(), limit.name.clone()), Default::default()))
            .collect();
        self.add_to(&mut sums);
        let help = "Spends by limit and result; `near` admits with less than a tenth left.";
        head(out, "pdp_limit_decisions_total", "counter", help)?;
        for ((policy, limit), (results, _)) in &sums {
            for (result, count) in RESULTS.iter().zip(results) {
                let (policy, limit) = (Escaped(policy), Escaped(limit));
                let labels = format_args!("policy=\"{policy}\",limit=\"{limit}\",result=\"{result}\"");
                writeln!(out, "pdp_limit_decisions_total{{{labels}}} {count}")?;
            }
        }
        let help = "Hits above the limit that all nodes together may admit within a window, at most.";
        head(out, "pdp_limit_overshoot_bound", "gauge", help)?;
        for ((policy, limit), (_, overshoot)) in &sums {
            let (policy, limit) = (Escaped(policy), Escaped(limit));
            writeln!(out, "pdp_limit_overshoot_bound{{policy=\"{policy}\",limit=\"{limit}\"}} {overshoot}")?;
        }
        Ok(())
    }

    fn add_to(&self, sums: &mut BTreeMap<Name, ([u64; 4], u64)>) {
        let tables = self.tables();
        for (name, counts) in &tables.retired {
            if let Some((results, _)) = sums.get_mut(name) {
                add(results, counts.iter().copied());
            }
        }
        for row in tables.live.iter().flat_map(|table| &table.rows) {
            if let Some((results, overshoot)) = sums.get_mut(&row.name) {
                add(results, row.results.iter().map(Counter::get));
                *overshoot = row.overshoot.get().max(*overshoot);
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Takes the sums of tables that only this list holds.
    fn retire(&mut self) {
        let (ended, live) =
            std::mem::take(&mut self.live).into_iter().partition(|table| Arc::strong_count(table) == 1);
        self.live = live;
        let ended: Vec<Arc<LimitMetrics>> = ended;
        for row in ended.iter().flat_map(|table| &table.rows) {
            let sums = self.retired.entry(row.name.clone()).or_default();
            add(sums, row.results.iter().map(Counter::get));
        }
    }
}

fn add(sums: &mut [u64; 4], counts: impl Iterator<Item = u64>) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

/// A label's value: names come from policy files.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => out.write_str("\\\\")?,
                '"' => out.write_str("\\\"")?,
                '\n' => out.write_str("\\n")?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(admitted: bool, remaining: u64) -> LimitOutcome {
        LimitOutcome { admitted, remaining, ..LimitOutcome::default() }
    }

    #[test]
    fn each_status_has_one_result() {
        let name = |outcome: &LimitOutcome, limit| RESULTS[result(outcome, limit)];
        assert_eq!(name(&outcome(true, 10), 100), "allowed");
        assert_eq!(name(&outcome(true, 9), 100), "near");
        assert_eq!(name(&outcome(true, 0), 3), "near");
        assert_eq!(name(&outcome(true, 1), 3), "allowed");
        assert_eq!(name(&outcome(false, 0), 100), "denied");
        let fault = Some(pdp_engine::limit::LimitFault::StoreFull);
        assert_eq!(name(&LimitOutcome { fault, ..outcome(true, 50) }, 100), "fault");
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(Escaped("a\"b\\c\nd").to_string(), "a\\\"b\\\\c\\nd");
    }
}
