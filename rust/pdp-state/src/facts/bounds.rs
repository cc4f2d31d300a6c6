//! What documents and names may be: the bounds that every home of facts keeps to.

use std::collections::HashSet;
use std::time::Duration;

use super::document;
use super::{FactError, FactKey, FactPut};

/// Documents of one call.
pub const MAX_BATCH: usize = 1_000;
/// Bytes of an id, a tenant or a source.
pub const MAX_ID_BYTES: usize = 256;
/// Bytes of a value as JSON.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Highest version: what every language's numbers hold exactly.
pub const MAX_VERSION: u64 = (1 << 53) - 1;
/// Longest time to keep a document.
const MAX_TTL: Duration = Duration::from_secs(366 * 86_400);

/// Checks documents to store; answers with each one's value as JSON.
pub(crate) fn check_puts(puts: &[FactPut]) -> Result<Vec<String>, FactError> {
    check_keys(puts.iter().map(|put| &put.key))?;
    puts.iter().enumerate().map(|(index, put)| check_put(index, put)).collect()
}

fn check_put(index: usize, put: &FactPut) -> Result<String, FactError> {
    if put.version.is_some_and(|version| version == 0 || version > MAX_VERSION) {
        return Err(invalid(index, "version", "must be 1 to 2^53 - 1, or unset"));
    }
    if put.source.is_empty() || put.source.len() > MAX_ID_BYTES {
        return Err(invalid(index, "source", "must have 1 to 256 bytes"));
    }
    if put.ttl.is_some_and(|ttl| ttl < Duration::from_secs(1) || ttl > MAX_TTL) {
        return Err(invalid(index, "ttl", "must be 1 s to 366 days, or unset"));
    }
    let json = document::value_to_json(&put.value);
    if json.len() > MAX_VALUE_BYTES {
        let message = format!("has {} bytes as JSON, over {MAX_VALUE_BYTES}", json.len());
        return Err(invalid(index, "value", &message));
    }
    Ok(json)
}

/// Checks names of one tenant, each once.
pub(crate) fn check_keys<'a>(keys: impl Iterator<Item = &'a FactKey> + Clone) -> Result<(), FactError> {
    let mut seen = HashSet::new();
    let tenant = keys.clone().next().map(|key| &key.tenant);
    for (index, key) in keys.clone().enumerate() {
        check_name(index, key)?;
        if Some(&key.tenant) != tenant {
            return Err(invalid(index, "name.tenant", "differs from the first: one call changes one tenant"));
        }
        if !seen.insert(key) {
            return Err(invalid(index, "name", "is named twice"));
        }
    }
    if seen.is_empty() || seen.len() > MAX_BATCH {
        return Err(invalid(0, "", "must be 1 to 1,000"));
    }
    Ok(())
}

/// Checks names to read.
pub(crate) fn check_names(keys: &[FactKey]) -> Result<(), FactError> {
    if keys.is_empty() || keys.len() > MAX_BATCH {
        return Err(invalid(0, "", "must be 1 to 1,000"));
    }
    keys.iter().enumerate().try_for_each(|(index, key)| check_name(index, key))
}

fn check_name(index: usize, key: &FactKey) -> Result<(), FactError> {
    if key.id.is_empty() || key.id.len() > MAX_ID_BYTES {
        return Err(invalid(index, "name.id", "must have 1 to 256 bytes"));
    }
    match &key.tenant {
        Some(tenant) if tenant.is_empty() || tenant.len() > MAX_ID_BYTES => {
            Err(invalid(index, "name.tenant", "must have at most 256 bytes"))
        }
        _ => Ok(()),
    }
}

fn invalid(index: usize, field: &'static str, message: &str) -> FactError {
    FactError::Invalid { index, field, message: message.to_owned() }
}
