//! The admin service on its own loopback listener; each part answers in a file of its own.

mod facts;
mod limits;
mod status;
mod top;

use std::sync::Arc;

use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorDetail;
use pdp_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

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
        answered(status::reload(self).await)
    }

    async fn get_status(
        &self,
        _: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Status> {
        answered(Ok(status::get(self)))
    }

    async fn put_facts(
        &self,
        request: Request<proto::PutFactsRequest>,
    ) -> Result<Response<proto::PutFactsResponse>, Status> {
        answered(facts::put(self, request.into_inner()).await)
    }

    async fn get_facts(
        &self,
        request: Request<proto::GetFactsRequest>,
    ) -> Result<Response<proto::GetFactsResponse>, Status> {
        answered(facts::get(self, request.into_inner()).await)
    }

    async fn delete_facts(
        &self,
        request: Request<proto::DeleteFactsRequest>,
    ) -> Result<Response<proto::DeleteFactsResponse>, Status> {
        answered(facts::delete(self, request.into_inner()).await)
    }

    type WatchFactsStream = facts::Changes;

    async fn watch_facts(
        &self,
        request: Request<proto::WatchFactsRequest>,
    ) -> Result<Response<Self::WatchFactsStream>, Status> {
        answered(facts::watch(self, request.into_inner()).await)
    }

    async fn inspect_limit(
        &self,
        request: Request<proto::InspectLimitRequest>,
    ) -> Result<Response<proto::InspectLimitResponse>, Status> {
        answered(limits::inspect(self, request.into_inner()).await)
    }

    async fn reset_limit(
        &self,
        request: Request<proto::ResetLimitRequest>,
    ) -> Result<Response<proto::ResetLimitResponse>, Status> {
        answered(limits::reset(self, request.into_inner()).await)
    }

    async fn get_top_talkers(
        &self,
        request: Request<proto::GetTopTalkersRequest>,
    ) -> Result<Response<proto::GetTopTalkersResponse>, Status> {
        answered(top::talkers(self, request.into_inner()))
    }
}

/// The answer, or the status of the one error table.
fn answered<T>(outcome: Result<T, ErrorDetail>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(|error| errors::status(&error))
}
