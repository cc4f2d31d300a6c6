//! The Prometheus text exposition format, version 0.0.4.

use std::fmt::{self, Write};
use std::sync::PoisonError;

use pdp_engine::Question;
use pdp_proto::v1::ErrorReason;
use pdp_state::MemoryStats;

use super::{BUCKETS_MICROSECONDS, Counter, Metrics, ThreadMetrics};
use crate::service::overload::{Priority, ShedReason};

/// What the counters do not know of the server.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Revision that serves.
    pub revision: String,
    /// Policies of the set that serves.
    pub policies: usize,
    /// Whether the last reload failed.
    pub reload_failed: bool,
    /// What the limit store holds and did.
    pub limits: MemoryStats,
}

impl Metrics {
    /// Writes all metrics.
    #[must_use]
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let mut text = String::with_capacity(4096);
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, snapshot);
        text
    }

    fn write(&self, out: &mut String, snapshot: &Snapshot) -> fmt::Result {
        let sum = self.sum();
        decisions(out, &sum)?;
        seconds(out, &sum)?;
        self.refusals(out)?;
        head(out, "pdp_policy_reload_total", "counter", "Reloads of the policy set by result.")?;
        for (result, counter) in [("ok", &self.reloads_done), ("failed", &self.reloads_failed)] {
            writeln!(out, "pdp_policy_reload_total{{result=\"{result}\"}} {}", counter.get())?;
        }
        head(out, "pdp_policy_revision_info", "gauge", "1 for the revision that serves.")?;
        writeln!(out, "pdp_policy_revision_info{{revision=\"{}\"}} 1", snapshot.revision)?;
        let gauge = |out: &mut String, name, help, value: u64| single(out, name, "gauge", help, value);
        gauge(out, "pdp_policies", "Policies of the set that serves.", snapshot.policies as u64)?;
        let failed = u64::from(snapshot.reload_failed);
        gauge(
            out,
            "pdp_policy_reload_failed",
            "1 while the last reload failed and an older set serves.",
            failed,
        )?;
        gauge(out, "pdp_in_flight", "Calls in progress.", self.in_flight.get())?;
        gauge(out, "pdp_connections", "Connections open.", self.connections.get())?;
        self.overload(out)?;
        limits(out, &snapshot.limits)?;
        let count =
            |out: &mut String, name, help, value: &Counter| single(out, name, "counter", help, value.get());
        count(out, "pdp_memo_hits_total", "Stages answered from the memo.", &sum.memo_hits)?;
        count(out, "pdp_memo_misses_total", "Stages that the memo did not hold.", &sum.memo_misses)?;
        count(out, "pdp_panics_total", "Requests that met a fault of the server.", &self.panics)?;
        let help = "Connections refused at the limit.";
        count(out, "pdp_connections_refused_total", help, &self.connections_refused)?;
        let help = "Connections closed before their first call: TLS failed, or nothing was sent.";
        count(out, "pdp_handshakes_failed_total", help, &self.handshakes_failed)
    }

    fn overload(&self, out: &mut String) -> fmt::Result {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = queues.iter().map(|queue| queue.get()).max().unwrap_or_default();
        drop(queues);
        head(
            out,
            "pdp_queue_seconds",
            "gauge",
            "Least wait of calls in the last interval, on the slowest thread.",
        )?;
        writeln!(out, "pdp_queue_seconds {}", std::time::Duration::from_nanos(longest).as_secs_f64())?;
        head(
            out,
            "pdp_shed_total",
            "counter",
            "Calls refused before they were read, by reason and priority.",
        )?;
        for (reason, row) in ShedReason::ALL.into_iter().map(ShedReason::name).zip(&self.shed) {
            for (priority, counter) in Priority::ALL.into_iter().map(Priority::name).zip(row) {
                let count = counter.get();
                writeln!(out, "pdp_shed_total{{reason=\"{reason}\",priority=\"{priority}\"}} {count}")?;
            }
        }
        Ok(())
    }

    fn refusals(&self, out: &mut String) -> fmt::Result {
        head(out, "pdp_errors_total", "counter", "Requests refused by reason.")?;
        for (number, counter) in (0i32..).zip(&self.errors).skip(1) {
            let Ok(reason) = ErrorReason::try_from(number) else { continue };
            let name = reason.as_str_name().trim_start_matches("ERROR_REASON_").to_ascii_lowercase();
            writeln!(out, "pdp_errors_total{{reason=\"{name}\"}} {}", counter.get())?;
        }
        Ok(())
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
    head(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

fn limits(out: &mut String, stats: &MemoryStats) -> fmt::Result {
    single(out, "pdp_limit_keys", "gauge", "Counters held by the limit store.", stats.keys as u64)?;
    let help = "Requests whose ids the limit store remembers.";
    single(out, "pdp_limit_replays", "gauge", help, stats.replays as u64)?;
    for (name, help, value) in [
        ("pdp_limit_keys_evicted_total", "Expired counters dropped.", stats.evicted),
        ("pdp_limit_store_full_total", "Spends refused because the store was full.", stats.full_denied),
        ("pdp_limit_replayed_total", "Repeated requests that spent nothing.", stats.replayed),
        (
            "pdp_limit_replays_forgotten_total",
            "Request ids forgotten before their time.",
            stats.replays_forgotten,
        ),
    ] {
        single(out, name, "counter", help, value)?;
    }
    Ok(())
}

fn decisions(out: &mut String, sum: &ThreadMetrics) -> fmt::Result {
    head(out, "pdp_decisions_total", "counter", "Verdicts by question and effect.")?;
    for (question, row) in Question::ALL.into_iter().map(Question::name).zip(&sum.decisions) {
        for (effect, counter) in ["allow", "deny"].iter().zip(row) {
            let count = counter.get();
            writeln!(out, "pdp_decisions_total{{question=\"{question}\",effect=\"{effect}\"}} {count}")?;
        }
    }
    Ok(())
}

fn seconds(out: &mut String, sum: &ThreadMetrics) -> fmt::Result {
    head(out, "pdp_decision_seconds", "histogram", "Time from a decoded request to its decision.")?;
    let mut below = 0;
    for (bound, counter) in BUCKETS_MICROSECONDS.iter().zip(&sum.buckets) {
        below += counter.get();
        let bound = std::time::Duration::from_micros(*bound).as_secs_f64();
        writeln!(out, "pdp_decision_seconds_bucket{{le=\"{bound}\"}} {below}")?;
    }
    let all: u64 = sum.buckets.iter().map(Counter::get).sum();
    let total = std::time::Duration::from_nanos(sum.nanoseconds.get()).as_secs_f64();
    writeln!(out, "pdp_decision_seconds_bucket{{le=\"+Inf\"}} {all}")?;
    writeln!(out, "pdp_decision_seconds_sum {total}\npdp_decision_seconds_count {all}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_thread_that_ends_keeps_its_counts() {
        let metrics = Metrics::default();
        let thread = metrics.register();
        thread.recalled(3, 1);
        metrics.retire(&thread);
        drop::<Arc<_>>(thread);
        let text = metrics.render(&Snapshot::default());
        assert!(
            text.contains("pdp_memo_hits_total 3\n") && text.contains("pdp_memo_misses_total 1\n"),
            "{text}"
        );
    }

    #[test]
    fn refusals_are_counted_by_reason() {
        let metrics = Metrics::default();
        metrics.refused(ErrorReason::TooDeep.into());
        metrics.refused(99);
        assert_eq!(metrics.errors(ErrorReason::TooDeep), 1);
        assert!(metrics.render(&Snapshot::default()).contains("pdp_errors_total{reason=\"too_deep\"} 1\n"));
    }
}
