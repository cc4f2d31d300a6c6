//! The Prometheus text exposition format, version 0.0.4.

use std::fmt::{self, Write};
use std::sync::Arc;

use pdp_engine::{PolicySet, Question};
use pdp_proto::v1::ErrorReason;
use pdp_state::{Health, Metric, MetricKind};

use super::limits::Escaped;
use super::{BUCKETS_MICROSECONDS, Counter, Metrics, ThreadMetrics};

/// What the counters do not know of the server.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The set that serves.
    pub set: Option<Arc<PolicySet>>,
    /// Whether the last reload failed.
    pub reload_failed: bool,
    /// How the state store fares.
    pub health: Option<Health>,
    /// What the state store holds and did.
    pub state: Vec<Metric>,
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
        if let Some(set) = &snapshot.set {
            head(out, "pdp_policy_revision_info", "gauge", "1 for the revision that serves.")?;
            writeln!(out, "pdp_policy_revision_info{{revision=\"{}\"}} 1", set.revision())?;
            self.limits.write(out, set)?;
        }
        let gauge = |out: &mut String, name, help, value: u64| single(out, name, "gauge", help, value);
        let policies = snapshot.set.as_ref().map_or(0, |set| set.policies().len());
        gauge(out, "pdp_policies", "Policies of the set that serves.", policies as u64)?;
        let failed = u64::from(snapshot.reload_failed);
        gauge(
            out,
            "pdp_policy_reload_failed",
            "1 while the last reload failed and an older set serves.",
            failed,
        )?;
        gauge(out, "pdp_in_flight", "Calls in progress.", self.in_flight.get())?;
        gauge(out, "pdp_connections", "Connections open.", self.connections.get())?;
        if let Some(health) = &snapshot.health {
            let help = "1 while the state store answers; it is counted by policy while it does not.";
            gauge(out, "pdp_state_available", help, u64::from(health.available))?;
            let help = "Decision points that share the state store, this one included.";
            gauge(out, "pdp_state_nodes", help, health.nodes.into())?;
        }
        samples(out, &snapshot.state)?;
        let count =
            |out: &mut String, name, help, value: &Counter| single(out, name, "counter", help, value.get());
        count(out, "pdp_memo_hits_total", "Stages answered from the memo.", &sum.memo_hits)?;
        count(out, "pdp_memo_misses_total", "Stages that the memo did not hold.", &sum.memo_misses)?;
        count(out, "pdp_panics_total", "Requests that met a fault of the server.", &self.panics)?;
        let help = "Decisions without a usage token, which would have been larger than 4 KiB.";
        count(out, "pdp_usage_tokens_omitted_total", help, &self.usage_tokens_omitted)?;
        let help = "Connections refused at the limit.";
        count(out, "pdp_connections_refused_total", help, &self.connections_refused)?;
        let help = "Connections closed before their first call: TLS failed, or nothing was sent.";
        count(out, "pdp_handshakes_failed_total", help, &self.handshakes_failed)
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

pub(super) fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
    head(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

/// Writes samples; those of one name stand together.
fn samples(out: &mut String, samples: &[Metric]) -> fmt::Result {
    let mut last = "";
    for sample in samples {
        if sample.name != last {
            let kind = match sample.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
            };
            head(out, sample.name, kind, sample.help)?;
            last = sample.name;
        }
        out.push_str(sample.name);
        for (at, (label, value)) in sample.labels.iter().enumerate() {
            write!(out, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, Escaped(value))?;
        }
        let close = if sample.labels.is_empty() { "" } else { "}" };
        writeln!(out, "{close} {}", sample.value)?;
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
    fn samples_of_a_store_are_written_with_their_labels() {
        let sample = |labels, value| Metric {
            name: "pdp_state_calls_total",
            help: "Calls.",
            kind: MetricKind::Counter,
            labels,
            value,
        };
        let label = |result: &str| vec![("result", result.to_owned()), ("kind", "spend".to_owned())];
        let state = vec![sample(label("ok"), 3.0), sample(label("a\"b"), 0.5)];
        let health = Health {
            kind: "redis",
            available: false,
            since: std::time::SystemTime::now(),
            last_failure: None,
            nodes: 3,
        };
        let snapshot = Snapshot { state, health: Some(health), ..Snapshot::default() };
        let text = Metrics::default().render(&snapshot);
        let wanted = "# HELP pdp_state_calls_total Calls.\n# TYPE pdp_state_calls_total counter\n\
            pdp_state_calls_total{result=\"ok\",kind=\"spend\"} 3\n\
            pdp_state_calls_total{result=\"a\\\"b\",kind=\"spend\"} 0.5\n";
        assert!(text.contains(wanted), "{text}");
        assert!(text.contains("pdp_state_available 0\n") && text.contains("pdp_state_nodes 3\n"), "{text}");
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
