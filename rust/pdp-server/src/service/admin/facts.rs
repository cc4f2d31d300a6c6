//! Stored facts: put, get, delete, watch.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures_util::stream;
use pdp_engine::{FactDocument, FactKind, Text};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use pdp_state::facts::{FactChange, FactError, FactKey, FactPut, FactWatch, MAX_BATCH, MAX_ID_BYTES};
use tonic::{Code, Status};

use super::Admin;
use crate::convert::{self, bounds};
use crate::errors::{self, InvalidRequest};

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
    let now = SystemTime::now();
    let puts = puts(request, now)?;
    let versions =
        admin.reloader.decider().facts().put(puts, now).await.map_err(|it| refused("facts", &it))?;
    tracing::debug!(documents = versions.len(), "facts were stored");
    Ok(proto::PutFactsResponse { versions })
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

/// The documents of a request.
fn puts(request: proto::PutFactsRequest, now: SystemTime) -> Result<Vec<FactPut>, ErrorDetail> {
    some("facts", request.facts.len())?;
    let ttl = request.ttl.as_ref().map(ttl).transpose()?;
    let mut seen = HashSet::new();
    let mut puts = Vec::with_capacity(request.facts.len());
    for (index, fact) in request.facts.into_iter().enumerate() {
        let at = format!("facts[{index}]");
        let key = name(&format!("{at}.name"), fact.name.as_ref())?;
        if !seen.insert(key.clone()) {
            return Err(duplicate(&at));
        }
        let value = bounds::present(&format!("{at}.value"), fact.value.as_ref(), "a document")?;
        puts.push(FactPut {
            key,
            value: bounds::structure(&format!("{at}.value"), value)?,
            version: (fact.version > 0).then_some(fact.version),
            source: bounds::required(&format!("{at}.source"), &fact.source, MAX_ID_BYTES)?,
            observed_at: bounds::time(&format!("{at}.observed_at"), fact.observed_at.as_ref())?
                .unwrap_or(now),
            ttl,
        });
    }
    Ok(puts)
}

fn keys(names: &[proto::FactName]) -> Result<Vec<FactKey>, ErrorDetail> {
    some("names", names.len())?;
    let keys = names.iter().enumerate().map(|(at, it)| name(&format!("names[{at}]"), Some(it)));
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Refuses an empty list and one that is too long.
fn some(field: &str, entries: usize) -> Result<(), ErrorDetail> {
    if entries == 0 {
        return Err(errors::detail(ErrorReason::FieldRequired, field, "must hold 1 to 1,000"));
    }
    Ok(bounds::count(field, entries, MAX_BATCH)?)
}

fn name(at: &str, name: Option<&proto::FactName>) -> Result<FactKey, InvalidRequest> {
    let name = bounds::present(at, name, "a document")?;
    Ok(FactKey {
        tenant: bounds::optional(&format!("{at}.tenant"), &name.tenant, MAX_ID_BYTES)?,
        kind: kind(&format!("{at}.kind"), name.kind)?,
        id: bounds::required(&format!("{at}.id"), &name.id, MAX_ID_BYTES)?,
    })
}

fn kind(at: &str, number: i32) -> Result<FactKind, InvalidRequest> {
    match proto::FactKind::try_from(number) {
        Ok(proto::FactKind::Subject) => Ok(FactKind::Subject),
        Ok(proto::FactKind::Device) => Ok(FactKind::Device),
        Ok(proto::FactKind::Function) => Ok(FactKind::Function),
        Ok(proto::FactKind::Destination) => Ok(FactKind::Destination),
        Ok(proto::FactKind::Unspecified) => {
            Err(bounds::invalid(ErrorReason::FieldRequired, at, "must name a kind"))
        }
        Err(_) => Err(bounds::invalid(ErrorReason::EnumUnknown, at, format!("{number} is no kind of fact"))),
    }
}

fn ttl(from: &prost_types::Duration) -> Result<Duration, InvalidRequest> {
    let nanos = u32::try_from(from.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (u64::try_from(from.seconds), nanos) {
        (Ok(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err(bounds::invalid(ErrorReason::FieldOutOfRange, "ttl", "must be 1 s to 366 days, or unset")),
    }
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

fn fact(key: &FactKey, document: &FactDocument) -> proto::Fact {
    proto::Fact {
        name: Some(name_of(key)),
        value: Some(convert::structure(&document.value)),
        version: document.version,
        source: document.source.to_string(),
        observed_at: Some(document.observed_at.into()),
    }
}

fn name_of(key: &FactKey) -> proto::FactName {
    let kind = match key.kind {
        FactKind::Subject => proto::FactKind::Subject,
        FactKind::Device => proto::FactKind::Device,
        FactKind::Function => proto::FactKind::Function,
        FactKind::Destination => proto::FactKind::Destination,
    };
    let tenant = key.tenant.as_deref().unwrap_or_default().to_owned();
    proto::FactName { tenant, kind: kind.into(), id: key.id.to_string() }
}

fn duplicate(at: &str) -> ErrorDetail {
    errors::detail(ErrorReason::Duplicate, &format!("{at}.name"), "is named before: name each document once")
}

/// Why the store refused, as an answer. `list` is the request's field that holds the documents.
fn refused(list: &str, error: &FactError) -> ErrorDetail {
    match error {
        FactError::Invalid { field: "ttl", message, .. } => {
            errors::detail(ErrorReason::FieldOutOfRange, "ttl", message)
        }
        FactError::Invalid { index, field, message } => {
            let reason = match *field {
                "name" => ErrorReason::Duplicate,
                "value" => ErrorReason::TooLarge,
                _ => ErrorReason::FieldOutOfRange,
            };
            // A list of names holds the names themselves.
            let field = if list == "names" { field.strip_prefix("name").unwrap_or(field) } else { field };
            let field = field.strip_prefix('.').unwrap_or(field);
            let dot = if field.is_empty() { "" } else { "." };
            errors::detail(reason, &format!("{list}[{index}]{dot}{field}"), message)
        }
        FactError::OldVersion { index, .. } => {
            let field = format!("{list}[{index}].version");
            let message = format!("{error}: read the document again, or leave the version out");
            let mut detail = errors::detail(ErrorReason::FieldOutOfRange, &field, message);
            detail.grpc_code = Code::FailedPrecondition as i32;
            detail
        }
        FactError::Full(_) => errors::detail(ErrorReason::Overloaded, "", error.to_string()),
        FactError::Unavailable { uncertain, .. } => {
            let more =
                if *uncertain { "; the change may have happened all the same: read it again" } else { "" };
            errors::detail(ErrorReason::NotReady, "", format!("{error}{more}"))
        }
    }
}
