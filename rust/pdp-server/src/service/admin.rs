//! The admin service: reload and status, on its own loopback listener.

use std::sync::Arc;

use pdp_engine::PolicyInfo;
use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;
use pdp_proto::v1::admin_service_server::AdminService;
use tonic::{Code, Request, Response, Status};

use crate::errors;
use crate::reload::Reloader;

/// Answers an operator.
pub(crate) struct Admin {
    pub(crate) reloader: Arc<Reloader>,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn reload(
        &self,
        _: Request<proto::ReloadRequest>,
    ) -> Result<Response<proto::ReloadResponse>, Status> {
        let reloader = self.reloader.clone();
        // Building a set takes long; the probes on this thread must not wait for it.
        let outcome = tokio::task::spawn_blocking(move || reloader.reload()).await;
        match outcome {
            Ok(Ok(reloaded)) => Ok(Response::new(proto::ReloadResponse {
                policy_revision: reloaded.revision.to_string(),
                changed: reloaded.changed,
                policies: u32::try_from(reloaded.policies).unwrap_or(u32::MAX),
            })),
            Ok(Err(diagnostics)) => {
                let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                let mut detail = errors::detail(ErrorReason::FieldMalformed, "", lines.join("\n"));
                detail.grpc_code = Code::FailedPrecondition as i32;
                Err(errors::status(&detail))
            }
            Err(_) => Err(errors::status(&errors::internal())),
        }
    }

    async fn get_status(
        &self,
        _: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Status> {
        let active = self.reloader.decider().active();
        let failure = self.reloader.last_failure();
        Ok(Response::new(proto::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy_revision: active.set.revision().to_string(),
            loaded_at: Some(active.loaded_at.into()),
            policies: active.set.policies().map(policy).collect(),
            last_failure: failure.iter().map(diagnostic).collect(),
        }))
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
