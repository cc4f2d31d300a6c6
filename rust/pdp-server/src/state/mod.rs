//! The state a decision point serves from: which store, under which key, and how it fares.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use pdp_state::facts::RedisFacts;
use pdp_state::{
    FactOptions, FactRegistry, Health, MemoryFacts, MemoryStore, MemoryStoreOptions, StateStore,
};

pub use self::shared::name_secret;
use crate::config::{ConfigError, StateConfig};
use crate::decider::usage::UsageKey;

/// Interval between looks at the store's health.
const LOOK: Duration = Duration::from_millis(250);

/// Why state could not be opened. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used with these settings.
    #[error("{0}")]
    Store(String),
    /// The system has no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Open state.
#[derive(Clone)]
pub struct State {
    /// Counters.
    pub store: Arc<dyn StateStore>,
    /// Stored facts.
    pub facts: Arc<dyn FactRegistry>,
    /// Signs usage tokens.
    pub(crate) key: UsageKey,
}

impl State {
    /// State in `store`, with facts in memory. Usage tokens are signed with `secret`; without one they are
    /// good on this node, until it ends.
    ///
    /// # Errors
    /// [`StateError::Random`].
    pub fn new(store: Arc<dyn StateStore>, secret: Option<&[u8]>) -> Result<Self, StateError> {
        let key = secret.map_or_else(UsageKey::random, |secret| Ok(UsageKey::derived(secret)))?;
        let facts = Arc::new(MemoryFacts::new(&FactOptions::default()));
        Ok(Self { store, facts, key })
    }

    /// The same with stored facts in `facts`.
    #[must_use]
    pub fn with_facts(self, facts: Arc<dyn FactRegistry>) -> Self {
        Self { facts, ..self }
    }
}

/// Opens the state that `config` names.
///
/// # Errors
/// [`StateError`]. A shared store that does not answer now is none: it is asked again.
pub fn open(config: &StateConfig) -> Result<State, StateError> {
    let secret = config.key_secret()?;
    let secret = secret.as_deref();
    let options = fact_options(config);
    let Some(url) = &config.redis_url else {
        let state = State::new(memory(config), secret)?;
        return Ok(state.with_facts(Arc::new(MemoryFacts::new(&options))));
    };
    let (store, hub) = shared::open(url, config, secret)?;
    let facts = RedisFacts::open(hub, &options);
    let facts = facts.map_err(|error| StateError::Store(format!("no thread for facts: {error}")))?;
    Ok(State::new(store, secret)?.with_facts(Arc::new(facts)))
}

/// Bounds of stored facts.
fn fact_options(config: &StateConfig) -> FactOptions {
    FactOptions {
        memory_bytes: config.facts_cache_bytes,
        cache_bytes: config.facts_cache_bytes,
        max_stale: Duration::from_millis(config.facts_max_stale_ms),
        ..FactOptions::default()
    }
}

fn memory(config: &StateConfig) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(MemoryStoreOptions {
        max_keys: config.max_keys,
        replay_window: Duration::from_millis(config.replay_window_ms),
        ..MemoryStoreOptions::default()
    }))
}

/// Logs each change of the store's health, once, for as long as it is polled.
pub(crate) async fn watch(store: Arc<dyn StateStore>) {
    let mut seen = Seen { available: true };
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        let health = store.health();
        let (kind, failure) = (health.kind, health.last_failure.as_deref().unwrap_or("unknown"));
        match seen.change(&health) {
            None => {}
            Some(true) => tracing::info!(kind, "the state store answers again"),
            Some(false) => {
                tracing::warn!(kind, failure, "the state store does not answer; limits go by `on_outage`");
            }
        }
    }
}

/// What was last said of a store.
struct Seen {
    available: bool,
}

impl Seen {
    /// Whether the store is available, where that is news.
    fn change(&mut self, health: &Health) -> Option<bool> {
        let before = std::mem::replace(&mut self.available, health.available);
        (before != health.available).then_some(health.available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let mut seen = Seen { available: true };
        let health = |available| Health {
            kind: "redis",
            available,
            since: std::time::SystemTime::UNIX_EPOCH,
            last_failure: None,
            nodes: 1,
        };
        let said: Vec<_> = [true, false, false, true, true, false]
            .map(|now| seen.change(&health(now)))
            .into_iter()
            .collect();
        assert_eq!(said, [None, Some(false), None, Some(true), None, Some(false)]);
    }

    #[test]
    fn memory_is_what_opens_without_a_url() {
        let state = open(&StateConfig::default()).unwrap();
        assert_eq!(state.store.health().kind, "memory");
    }
}
