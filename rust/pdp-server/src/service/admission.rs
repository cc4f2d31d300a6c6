//! Admission: which calls are taken, and what those that are not are told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Response};
use pdp_proto::v1::{ErrorDetail, ErrorReason};

use super::body::{ResponseBody, failure};
use super::deadline;
use super::overload::Load;
use super::priority::{Priority, ShedReason};
use crate::config::OverloadConfig;
use crate::errors;
use crate::metrics::Metrics;

/// Tells a caller when to try again (gRFC A6, "Pushback").
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Admits calls of one thread.
#[derive(Clone)]
pub(crate) struct Admission {
    metrics: Arc<Metrics>,
    most: u64,
    config: OverloadConfig,
    load: Arc<Load>,
}

/// The right to one call in progress; given back when dropped.
pub(crate) struct Permit {
    metrics: Arc<Metrics>,
    load: Arc<Load>,
    /// When the call's message was there.
    read: Option<Instant>,
}

/// A call that was not admitted.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) error: ErrorDetail,
    retry_after: Option<Duration>,
}

impl Admission {
    pub(crate) fn new(metrics: Arc<Metrics>, most: usize, config: OverloadConfig) -> Self {
        let load = Arc::new(Load::new(&config, Arc::default(), Instant::now()));
        Self { metrics, most: most as u64, config, load }
    }

    /// Admission for a thread that is about to take calls; its load is to be probed by a task of it.
    pub(crate) fn for_thread(&self) -> (Self, Arc<Load>) {
        let load = Arc::new(Load::new(&self.config, self.metrics.queue(), Instant::now()));
        (Self { load: load.clone(), ..self.clone() }, load)
    }

    /// Admits a call whose headers were read at `arrived`, or says why it is refused.
    pub(super) fn admit(&self, headers: &HeaderMap, arrived: Instant) -> Result<Permit, Refusal> {
        let now = Instant::now();
        let wait = now.saturating_duration_since(arrived);
        let priority = Priority::of(headers);
        self.load.arrived(now, wait);
        // Counted first, so that two threads never both take the last place.
        let permit = Permit::new(self);
        let places = priority.places(self.most);
        if self.metrics.in_flight.get() > places {
            return Err(self.refuse(priority, ShedReason::InFlight, in_flight(priority, places)));
        }
        if self.load.sheds(priority, wait) {
            return Err(self.refuse(priority, ShedReason::Queue, self.queue(priority, wait)));
        }
        if let Some(deadline) = deadline::deadline(headers, arrived) {
            let (left, takes) = (deadline.saturating_duration_since(now), self.load.service());
            if left.is_zero() || left < takes {
                self.load.doubt();
                return Err(self.refuse(priority, ShedReason::Deadline, too_late(left, takes)));
            }
        }
        Ok(permit)
    }

    fn queue(&self, priority: Priority, wait: Duration) -> String {
        let (target, name) = (self.load.target().as_millis(), priority.name());
        let wait = self.load.wait_of(priority, wait).as_millis();
        format!(
            "calls wait for {wait} ms here, above the target of {target} ms, so `{name}` ones are refused; try again later"
        )
    }

    fn refuse(&self, priority: Priority, reason: ShedReason, message: String) -> Refusal {
        self.metrics.shed(reason, priority);
        if reason == ShedReason::Deadline {
            return Refusal { error: errors::detail(ErrorReason::Deadline, "", message), retry_after: None };
        }
        // An interval changes what is refused; spread, so that those refused together do not come back so.
        let interval = Duration::from_millis(self.config.interval_ms);
        let retry_after = interval.mul_f64(0.5 + self.load.draw());
        let error = errors::detail(ErrorReason::Overloaded, "", message);
        Refusal { error, retry_after: Some(retry_after) }
    }
}

impl Permit {
    fn new(admission: &Admission) -> Self {
        admission.metrics.in_flight.add(1);
        Self { metrics: admission.metrics.clone(), load: admission.load.clone(), read: None }
    }

    /// The call's one message is there: from now on, time is the server's.
    pub(super) fn begin(&mut self) {
        self.read = Some(Instant::now());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.in_flight.subtract(1);
        if let Some(read) = self.read {
            self.load.served(read.elapsed());
        }
    }
}

impl Refusal {
    /// The call's answer: headers alone.
    pub(super) fn response(&self) -> Response<ResponseBody> {
        let mut response = failure(&self.error);
        if let Some(after) = self.retry_after {
            let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            response.headers_mut().insert(PUSHBACK, HeaderValue::from(milliseconds));
        }
        response
    }
}

fn in_flight(priority: Priority, places: u64) -> String {
    let name = priority.name();
    format!("{places} calls are in progress, the most for one of priority `{name}`; try again later")
}

fn too_late(left: Duration, takes: Duration) -> String {
    if left.is_zero() {
        return errors::deadline_passed().message;
    }
    let (left, takes) = (left.as_micros(), takes.as_micros());
    format!("the deadline leaves {left} us and a decision takes about {takes} us at present; allow more")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(most: usize) -> Admission {
        Admission::new(Arc::default(), most, OverloadConfig::default())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn admit(admission: &Admission, pairs: &[(&'static str, &'static str)]) -> Result<Permit, Refusal> {
        admission.admit(&headers(pairs), Instant::now())
    }

    #[test]
    fn a_call_past_the_bound_is_refused_until_one_ends() {
        let admission = admission(2);
        let first = admit(&admission, &[]).unwrap();
        let _second = admit(&admission, &[]).unwrap();
        let refused = admit(&admission, &[]).err().unwrap();
        assert_eq!(refused.error.reason, i32::from(ErrorReason::Overloaded));
        assert!(refused.response().headers().contains_key(PUSHBACK));
        drop(first);
        assert!(admit(&admission, &[]).is_ok());
    }

    #[test]
    fn the_last_places_are_kept_for_who_matters_more() {
        let admission = admission(20);
        let mut held = Vec::new();
        for (priority, places) in [("sheddable", 16), ("default", 19), ("critical", 20)] {
            while let Ok(permit) = admit(&admission, &[("pdp-priority", priority)]) {
                held.push(permit);
            }
            assert_eq!(held.len(), places, "{priority}");
        }
        assert_eq!(admission.metrics.in_flight.get(), 20, "a refusal gives its place back");
    }

    #[test]
    fn a_deadline_below_what_a_decision_takes_is_refused_at_once() {
        let admission = admission(20);
        admission.load.served(Duration::from_millis(3));
        let refused = admit(&admission, &[("grpc-timeout", "1m")]).err().unwrap();
        assert_eq!(refused.error.reason, i32::from(ErrorReason::Deadline));
        assert!(!refused.response().headers().contains_key(PUSHBACK));
        assert!(admit(&admission, &[("grpc-timeout", "100m")]).is_ok());
        assert!(admit(&admission, &[("grpc-timeout", "1m")]).is_err());
    }

    #[test]
    fn time_spent_waiting_counts_against_the_deadline() {
        let admission = admission(20);
        let arrived = Instant::now().checked_sub(Duration::from_millis(50)).unwrap();
        assert!(admission.admit(&headers(&[("grpc-timeout", "40m")]), arrived).is_err());
        assert!(admission.admit(&headers(&[("grpc-timeout", "4S")]), arrived).is_ok());
    }
}
