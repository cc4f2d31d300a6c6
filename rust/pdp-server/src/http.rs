//! Metrics and probes over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use pdp_state::Health;
use prost_types::Timestamp;
use serde::Serialize;

use crate::metrics::Snapshot;
use crate::reload::Reloader;
use crate::service::drain::DrainSignal;

/// What the probes look at.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) drain: DrainSignal,
    /// Keys and addresses of listeners that are reachable from outside in plaintext.
    pub(crate) exposed: Arc<Vec<(&'static str, SocketAddr)>>,
}

/// Body of `/readyz`.
#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    policy_revision: String,
    /// `failed` while an older set serves; that does not make the server unready.
    policy_reload: &'static str,
    state: StateStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<String>,
    /// Listeners that `allow_plaintext` permits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plaintext: Vec<String>,
}

/// Where counters and facts are kept, and how that fares. A store that does not answer leaves the node
/// ready: it answers by what each policy says of an outage.
#[derive(Serialize)]
struct StateStatus {
    kind: &'static str,
    status: &'static str,
    /// RFC 3339.
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    nodes: u32,
}

impl From<Health> for StateStatus {
    fn from(health: Health) -> Self {
        Self {
            kind: health.kind,
            status: if health.available { "available" } else { "unavailable" },
            since: Timestamp::from(health.since).to_string(),
            last_failure: health.last_failure,
            nodes: health.nodes,
        }
    }
}

/// The routes.
pub(crate) fn router(probes: Probes) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn ready(State(probes): State<Probes>) -> impl IntoResponse {
    let failure = probes.reloader.last_failure();
    let draining = probes.drain.begun();
    let body = Readiness {
        status: if draining { "draining" } else { "ready" },
        policy_revision: probes.reloader.decider().active().set.revision().to_string(),
        policy_reload: if failure.is_empty() { "ok" } else { "failed" },
        state: probes.reloader.decider().store().health().into(),
        diagnostics: failure.iter().take(20).map(ToString::to_string).collect(),
        plaintext: probes.exposed.iter().map(|(key, address)| format!("{key} {address}")).collect(),
    };
    let code = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::to_string(&body).unwrap_or_default();
    (code, [(header::CONTENT_TYPE, "application/json")], body)
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    let active = probes.reloader.decider().active();
    let store = probes.reloader.decider().store();
    let mut state = store.metrics();
    state.extend(probes.reloader.decider().facts().metrics());
    let snapshot = Snapshot {
        set: Some(active.set.clone()),
        reload_failed: !probes.reloader.last_failure().is_empty(),
        health: Some(store.health()),
        state,
    };
    let text = probes.reloader.decider().metrics().render(&snapshot);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
