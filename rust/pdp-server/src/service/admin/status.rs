//! Reload and status.

use pdp_engine::PolicyInfo;
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use pdp_state::Health;
use tonic::Code;

use super::Admin;
use crate::errors;

/// Builds the set anew and swaps it in.
pub(super) async fn reload(admin: &Admin) -> Result<proto::ReloadResponse, ErrorDetail> {
    let reloader = admin.reloader.clone();
    // Building a set takes long; the probes on this thread must not wait for it.
    let outcome = tokio::task::spawn_blocking(move || reloader.reload()).await;
    match outcome {
        Ok(Ok(reloaded)) => Ok(proto::ReloadResponse {
            policy_revision: reloaded.revision.to_string(),
            changed: reloaded.changed,
            policies: u32::try_from(reloaded.policies).unwrap_or(u32::MAX),
        }),
        Ok(Err(diagnostics)) => {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            let mut detail = errors::detail(ErrorReason::FieldMalformed, "", lines.join("\n"));
            detail.grpc_code = Code::FailedPrecondition as i32;
            Err(detail)
        }
        Err(_) => Err(errors::internal()),
    }
}

/// What is serving.
pub(super) fn get(admin: &Admin) -> proto::GetStatusResponse {
    let active = admin.reloader.decider().active();
    let failure = admin.reloader.last_failure();
    proto::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_revision: active.set.revision().to_string(),
        loaded_at: Some(active.loaded_at.into()),
        policies: active.set.policies().map(policy).collect(),
        last_failure: failure.iter().map(diagnostic).collect(),
        state: Some(state(admin.reloader.decider().store().health())),
    }
}

fn state(health: Health) -> proto::StateStatus {
    proto::StateStatus {
        kind: health.kind.to_owned(),
        available: health.available,
        since: Some(health.since.into()),
        last_failure: health.last_failure.unwrap_or_default(),
        nodes: health.nodes,
    }
}

fn policy(info: &PolicyInfo) -> proto::PolicyStatus {
    proto::PolicyStatus {
        id: info.id.to_string(),
        kind: info.kind.name().to_owned(),
        engine: info.engine.name().to_owned(),
        tier: info.tier.name().to_owned(),
        mode: info.mode.name().to_owned(),
    }
}

fn diagnostic(from: &pdp_policy::Diagnostic) -> proto::Diagnostic {
    proto::Diagnostic {
        file: from.file.clone(),
        row: from.span.map_or(0, |span| span.row),
        column: from.span.map_or(0, |span| span.column),
        code: from.code.as_str().to_owned(),
        message: from.message.clone(),
    }
}
