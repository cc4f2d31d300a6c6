//! Stored facts: put, get, delete, watch.

use std::time::SystemTime;

use futures_util::stream;
use pdp_engine::{FactKind, Text};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use pdp_state::facts::{FactChange, FactWatch, MAX_BATCH, MAX_ID_BYTES};
use tonic::{Code, Status};

use super::Admin;
use crate::convert::bounds;
use crate::convert::stored::{fact, keys, kind, name_of, refused};
use crate::errors;

/// Changes as they happen.
pub(super) type Changes = tonic::codegen::BoxStream<proto::WatchFactsResponse>;

/// Which changes a watcher is told of; empty is all.
struct Wanted {
    tenants: Vec<Option<Text>>,
    kinds: Vec<FactKind>,
}

/// Stores all documents or none.
pub(super) async fn put(
    admin: &Admin,
    request: proto::PutFactsRequest,
) -> Result<proto::PutFactsResponse, ErrorDetail> {
    let answer = admin.reloader.decider().put_facts(request).await?;
    tracing::debug!(documents = answer.versions.len(), "facts were stored");
    Ok(answer)
}

/// Reads documents from the store.
pub(super) async fn get(
    admin: &Admin,
    request: proto::GetFactsRequest,
) -> Result<proto::GetFactsResponse, ErrorDetail> {
    let keys = keys(&request.names)?;
    let reply = admin.reloader.decider().facts().get(keys.clone(), SystemTime::now());
    let found = reply.await.map_err(|it| refused("names", &it))?;
    let facts = keys.iter().zip(found).filter_map(|(key, found)| Some(fact(key, &*found?))).collect();
    Ok(proto::GetFactsResponse { facts })
}

/// Deletes all documents or none.
pub(super) async fn delete(
    admin: &Admin,
    request: proto::DeleteFactsRequest,
) -> Result<proto::DeleteFactsResponse, ErrorDetail> {
    let keys = keys(&request.names)?;
    let reply = admin.reloader.decider().facts().delete(keys, SystemTime::now());
    let deleted = reply.await.map_err(|it| refused("names", &it))?;
    tracing::info!(documents = deleted, "an operator deleted facts");
    Ok(proto::DeleteFactsResponse { deleted })
}

/// Tells of each change from now on.
pub(super) async fn watch(admin: &Admin, request: proto::WatchFactsRequest) -> Result<Changes, ErrorDetail> {
    let wanted = wanted(&request)?;
    let watch = admin.reloader.decider().facts().watch().await.map_err(|it| refused("", &it))?;
    let changes = stream::unfold(Some((watch, wanted)), |watching| async move {
        let (mut watch, wanted) = watching?;
        match next(&mut watch, &wanted).await {
            Ok(change) => Some((Ok(change), Some((watch, wanted)))),
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(Box::pin(changes))
}

/// The next change that is wanted; the status that ends the stream where there is none.
async fn next(watch: &mut FactWatch, wanted: &Wanted) -> Result<proto::WatchFactsResponse, Status> {
    loop {
        match watch.next().await {
            Some(Ok(change)) if wanted.has(&change) => return Ok(told(&change)),
            Some(Ok(_)) => {}
            Some(Err(lost)) => {
                let message = format!("{lost}, and watch anew");
                let mut detail = errors::detail(ErrorReason::NotReady, "", message);
                detail.grpc_code = Code::DataLoss as i32;
                return Err(errors::status(&detail));
            }
            None => {
                let message = "the store of facts has ended";
                return Err(errors::status(&errors::detail(ErrorReason::NotReady, "", message)));
            }
        }
    }
}

impl Wanted {
    fn has(&self, change: &FactChange) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(&change.key.tenant))
            && (self.kinds.is_empty() || self.kinds.contains(&change.key.kind))
    }
}

fn wanted(request: &proto::WatchFactsRequest) -> Result<Wanted, ErrorDetail> {
    bounds::count("tenants", request.tenants.len(), MAX_BATCH)?;
    let tenants = request.tenants.iter().enumerate();
    let tenants = tenants.map(|(at, it)| bounds::optional(&format!("tenants[{at}]"), it, MAX_ID_BYTES));
    let kinds = request.kinds.iter().enumerate().map(|(at, it)| kind(&format!("kinds[{at}]"), *it));
    Ok(Wanted { tenants: tenants.collect::<Result<_, _>>()?, kinds: kinds.collect::<Result<_, _>>()? })
}

fn told(change: &FactChange) -> proto::WatchFactsResponse {
    match &change.document {
        Some(document) => {
            proto::WatchFactsResponse { fact: Some(fact(&change.key, document)), deleted: false }
        }
        None => {
            let name = Some(name_of(&change.key));
            let fact = proto::Fact { name, version: change.version, ..proto::Fact::default() };
            proto::WatchFactsResponse { fact: Some(fact), deleted: true }
        }
    }
}
