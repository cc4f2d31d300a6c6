//! Admission: a bound on the calls in progress over all connections.

use std::sync::Arc;

use pdp_proto::v1::{ErrorDetail, ErrorReason};

use crate::errors;
use crate::metrics::Metrics;

/// Admits calls up to a bound.
#[derive(Clone)]
pub(crate) struct Admission {
    metrics: Arc<Metrics>,
    most: u64,
}

/// The right to one call in progress; given back when dropped.
pub(crate) struct Permit(Arc<Metrics>);

impl Admission {
    pub(crate) fn new(metrics: Arc<Metrics>, most: usize) -> Self {
        Self { metrics, most: most as u64 }
    }

    /// Admits a call, or says that there are too many.
    pub(crate) fn admit(&self) -> Result<Permit, ErrorDetail> {
        // Counted first, so that two threads never both take the last place.
        self.metrics.in_flight.add(1);
        let permit = Permit(self.metrics.clone());
        if self.metrics.in_flight.get() <= self.most {
            return Ok(permit);
        }
        let message = format!("{} calls are in progress; try again later", self.most);
        Err(errors::detail(ErrorReason::Overloaded, "", message))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.subtract(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_past_the_bound_is_refused_until_one_ends() {
        let admission = Admission::new(Arc::default(), 2);
        let first = admission.admit().unwrap();
        let _second = admission.admit().unwrap();
        let refused = admission.admit().err().unwrap();
        assert_eq!(refused.reason, i32::from(ErrorReason::Overloaded));
        drop(first);
        assert!(admission.admit().is_ok());
    }
}
