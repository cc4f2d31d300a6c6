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
            state: None,
        }))
    }

    async fn put_facts(
        &self,
        _: Request<proto::PutFactsRequest>,
    ) -> Result<Response<proto::PutFactsResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_facts(
        &self,
        _: Request<proto::GetFactsRequest>,
    ) -> Result<Response<proto::GetFactsResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn delete_facts(
        &self,
        _: Request<proto::DeleteFactsRequest>,
    ) -> Result<Response<proto::DeleteFactsResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn inspect_limit(
        &self,
        _: Request<proto::InspectLimitRequest>,
    ) -> Result<Response<proto::InspectLimitResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn reset_limit(
        &self,
        _: Request<proto::ResetLimitRequest>,
    ) -> Result<Response<proto::ResetLimitResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_top_talkers(
        &self,
        _: Request<proto::GetTopTalkersRequest>,
    ) -> Result<Response<proto::GetTopTalkersResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    type WatchFactsStream = tonic::codegen::BoxStream<proto::WatchFactsResponse>;

    async fn watch_facts(
        &self,
        _: Request<proto::WatchFactsRequest>,
    ) -> Result<Response<Self::WatchFactsStream>, Status> {
        Err(Status::unimplemented("to come"))
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
