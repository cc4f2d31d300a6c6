//! A server that decides nothing: the most that any service on the same stack can answer.

use std::net::SocketAddr;
use std::pin::Pin;

use pdp_proto::v1::policy_decision_service_server::{PolicyDecisionService, PolicyDecisionServiceServer};
use pdp_proto::v1::{
    CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, CheckResult, CheckStreamRequest,
    CheckStreamResponse, Decision, Effect, ReportUsageRequest, ReportUsageResponse, check_result::Outcome,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

struct Empty;

fn decision() -> Decision {
    Decision { effect: Effect::Allow.into(), ..Decision::default() }
}

fn result(request: CheckRequest) -> CheckResult {
    CheckResult { request_id: request.request_id, outcome: Some(Outcome::Decision(decision())) }
}

#[tonic::async_trait]
impl PolicyDecisionService for Empty {
    type CheckStreamStream = Pin<Box<dyn Stream<Item = Result<CheckStreamResponse, Status>> + Send>>;

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request_id = request.into_inner().request_id;
        Ok(Response::new(CheckResponse { request_id, decision: Some(decision()) }))
    }

    async fn check_batch(
        &self,
        request: Request<CheckBatchRequest>,
    ) -> Result<Response<CheckBatchResponse>, Status> {
        let results = request.into_inner().items.into_iter().map(result).collect();
        Ok(Response::new(CheckBatchResponse { results }))
    }

    async fn check_stream(
        &self,
        request: Request<Streaming<CheckStreamRequest>>,
    ) -> Result<Response<Self::CheckStreamStream>, Status> {
        let answer = |item: Result<CheckStreamRequest, Status>| {
            item.map(|item| CheckStreamResponse { result: item.request.map(result) })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(answer))))
    }

    async fn report_usage(
        &self,
        _: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        Ok(Response::new(ReportUsageResponse::default()))
    }
}

/// Serves on `listen` with one thread until the process ends; `bound` is told the address.
///
/// # Errors
/// When the address cannot be bound or the server fails.
pub fn serve_blocking(
    listen: SocketAddr,
    bound: impl FnOnce(SocketAddr),
) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        bound(listener.local_addr()?);
        let connections = TcpListenerStream::new(listener).map(|connection| {
            connection.and_then(|connection| connection.set_nodelay(true).map(|()| connection))
        });
        tonic::transport::Server::builder()
            .add_service(PolicyDecisionServiceServer::new(Empty))
            .serve_with_incoming(connections)
            .await?;
        Ok(())
    })
}
