//! Stored facts: documents and names in, documents and refusals out.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use pdp_engine::{FactDocument, FactKind};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use pdp_state::facts::{FactError, FactKey, FactPut, MAX_BATCH, MAX_ID_BYTES};
use tonic::Code;

use super::{bounds, structure};
use crate::errors::{self, InvalidRequest};

/// The documents of a request.
pub(crate) fn puts(request: proto::PutFactsRequest, now: SystemTime) -> Result<Vec<FactPut>, ErrorDetail> {
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

/// The names of a request.
pub(crate) fn keys(names: &[proto::FactName]) -> Result<Vec<FactKey>, ErrorDetail> {
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

/// A kind.
pub(crate) fn kind(at: &str, number: i32) -> Result<FactKind, InvalidRequest> {
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

/// A document.
pub(crate) fn fact(key: &FactKey, document: &FactDocument) -> proto::Fact {
    proto::Fact {
        name: Some(name_of(key)),
        value: Some(structure(&document.value)),
        version: document.version,
        source: document.source.to_string(),
        observed_at: Some(document.observed_at.into()),
    }
}

/// A name.
pub(crate) fn name_of(key: &FactKey) -> proto::FactName {
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
pub(crate) fn refused(list: &str, error: &FactError) -> ErrorDetail {
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
