//! The core's log events, kept until Python takes them: no callback into the interpreter.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::errors::ConfigError;
use crate::guard::released;

/// Events kept while nobody takes them; older ones are dropped and counted.
const CAPACITY: usize = 4096;

static QUEUE: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
static ARRIVED: Condvar = Condvar::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Keeps events of a level or above for [`take_events`]; the first call of a process counts.
#[pyfunction]
pub(crate) fn collect_events(level: &str) -> PyResult<()> {
    let level = match level {
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warning" => Level::WARN,
        "error" => Level::ERROR,
        other => {
            let message = format!("`{other}` is no level: write debug, info, warning or error");
            return Err(ConfigError::new_err(("log.level", message)));
        }
    };
    // A second subscriber would be an error; the events of this one go to the same queue.
    let _ = tracing::subscriber::set_global_default(Collector { level });
    Ok(())
}

/// Takes the events that have come, waiting at most `timeout` seconds for the first; JSON documents.
#[pyfunction]
pub(crate) fn take_events(py: Python<'_>, timeout: f64) -> PyResult<Vec<String>> {
    let timeout = Duration::try_from_secs_f64(timeout.clamp(0.0, 60.0)).unwrap_or_default();
    released(py, || {
        let queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ARRIVED.wait_timeout_while(queue, timeout, |queue| queue.is_empty());
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let mut events: Vec<String> = queue.drain(..).collect();
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            events
                .push(json!({"level": "WARNING", "message": "events dropped", "count": dropped}).to_string());
        }
        events
    })
}

/// Turns events into documents; spans are not kept.
struct Collector {
    level: Level,
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with("pdp")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut document = Document(Map::new());
        event.record(&mut document);
        document.0.insert("level".to_owned(), json!(name_of(*event.metadata().level())));
        document.0.entry("message").or_insert_with(|| json!(event.metadata().name()));
        let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= CAPACITY {
            queue.pop_front();
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        queue.push_back(Value::Object(document.0).to_string());
        ARRIVED.notify_one();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// An event's fields.
struct Document(Map<String, Value>);

impl Visit for Document {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
}
