//! Reload: a policy set is built whole and swapped in, or the old one keeps serving.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pdp_engine::{LoadOptions, PolicySet, Text};
use pdp_policy::{Diagnostic, DiagnosticCode};

use crate::decider::Decider;

/// Stack of the thread that builds a set, in bytes; parsers recurse as deep as sources nest.
const LOAD_STACK: usize = 64 << 20;

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Revision that serves now.
    pub revision: Text,
    /// Whether it differs from the one before.
    pub changed: bool,
    /// Policies of the set.
    pub policies: usize,
}

/// Makes request threads ready for a set before it serves.
pub(crate) type Warm = Box<dyn Fn(&Arc<PolicySet>) + Send + Sync>;

/// Reloads one decider from one directory.
pub struct Reloader {
    directory: PathBuf,
    decider: Decider,
    warm: Option<Warm>,
    /// Held while a set is built, so that reloads do not overtake each other.
    building: Mutex<()>,
    last_failure: Mutex<Vec<Diagnostic>>,
}

/// Builds the set in `directory`; a fault of the engine is a diagnostic too.
///
/// # Errors
/// Every fault found in the set.
pub fn load(directory: &Path) -> Result<PolicySet, Vec<Diagnostic>> {
    // On a stack of its own size: what loads at the start must load on every later thread too.
    let outcome = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("pdp-load".to_owned()).stack_size(LOAD_STACK);
        let loading = builder.spawn_scoped(scope, || PolicySet::load(directory, &LoadOptions::default()))?;
        loading.join().map_err(|_| std::io::Error::other("building the policy set met a fault of the server"))
    });
    outcome.unwrap_or_else(|error| {
        Err(vec![Diagnostic {
            file: directory.display().to_string(),
            span: None,
            code: DiagnosticCode::Unreadable,
            message: error.to_string(),
        }])
    })
}

impl Reloader {
    /// A reloader of `decider` from `directory`.
    #[must_use]
    pub fn new(directory: PathBuf, decider: Decider) -> Self {
        Self { directory, decider, warm: None, building: Mutex::default(), last_failure: Mutex::default() }
    }

    pub(crate) fn with_warm(mut self, warm: Warm) -> Self {
        self.warm = Some(warm);
        self
    }

    /// The decider.
    #[must_use]
    pub fn decider(&self) -> &Decider {
        &self.decider
    }

    /// The policy directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Faults of the last reload, empty after one that worked.
    #[must_use]
    pub fn last_failure(&self) -> Vec<Diagnostic> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes request threads ready for the set that serves.
    pub(crate) fn warm(&self) {
        if let Some(warm) = &self.warm {
            warm(&self.decider.active().set);
        }
    }

    /// Builds the set anew and swaps it in whole. Blocks while it builds.
    ///
    /// # Errors
    /// Every fault found; the set that served before keeps serving.
    pub fn reload(&self) -> Result<Reloaded, Vec<Diagnostic>> {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = self.decider.metrics();
        let outcome = load(&self.directory);
        let failure = outcome.as_ref().err().cloned().unwrap_or_default();
        for diagnostic in failure.iter().take(20) {
            tracing::error!(diagnostic = %diagnostic, "policy reload failed; the old set keeps serving");
        }
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        if outcome.is_err() {
            metrics.reloads_failed.add(1);
        }
        let reloaded = self.put(Arc::new(outcome?));
        metrics.reloads_done.add(1);
        Ok(reloaded)
    }

    /// Lets `set` serve, unless it is the one that serves.
    fn put(&self, set: Arc<PolicySet>) -> Reloaded {
        let revision = set.revision().clone();
        let policies = set.policies().len();
        let changed = *self.decider.active().set.revision() != revision;
        if changed {
            if let Some(warm) = &self.warm {
                warm(&set);
            }
            self.decider.swap(set);
            tracing::info!(revision = %revision, policies, "policy set reloaded");
        }
        Reloaded { revision, changed, policies }
    }
}
