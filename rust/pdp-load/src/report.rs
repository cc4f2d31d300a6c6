//! What a run came to.

use serde::{Deserialize, Serialize};

use crate::config::{Load, LoadConfig};
use crate::error::LoadError;
use crate::tally::Tally;

/// What a run came to. A run with a failed or wrongly answered request has no report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// How requests were paced.
    pub load: Load,
    /// Threads that sent them.
    pub threads: usize,
    /// Measured time.
    pub seconds: f64,
    /// Requests answered rightly within it.
    pub requests: u64,
    /// Requests a second.
    pub rps: f64,
    /// Decisions a second; differs from `rps` for batches.
    pub decisions_per_second: f64,
    /// Requests that failed: always 0, since one failure voids the run.
    pub errors: u64,
    /// Latency. In an open loop it counts from the moment a request was due.
    pub latency_us: Latency,
}

/// Latency in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Longest.
    pub max: f64,
}

impl LoadReport {
    pub(crate) fn new(config: &LoadConfig, tally: &Tally) -> Result<Self, LoadError> {
        let latencies = tally.latencies();
        let requests = latencies.len();
        if requests == 0 {
            return Err(LoadError::Empty);
        }
        let microseconds = |quantile| microseconds(latencies.value_at_quantile(quantile));
        #[allow(clippy::cast_precision_loss)]
        let rps = requests as f64 / config.duration_seconds;
        Ok(Self {
            load: config.load.clone(),
            threads: config.threads,
            seconds: config.duration_seconds,
            requests,
            rps,
            decisions_per_second: rps * f64::from(config.decisions_per_request),
            errors: 0,
            latency_us: Latency {
                mean: latencies.mean() / 1000.0,
                p50: microseconds(0.5),
                p90: microseconds(0.9),
                p99: microseconds(0.99),
                p999: microseconds(0.999),
                max: self::microseconds(latencies.max()),
            },
        })
    }
}

#[allow(clippy::cast_precision_loss)]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}
