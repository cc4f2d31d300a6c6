//! From a limit list's text to its rules, or every reason why not.

use std::collections::HashMap;

use pdp_policy::{Diagnostic, DiagnosticCode, Program, Source};

use super::descriptor::{DescriptorTree, Entry};
use super::document::{DescriptorEntry, Document, LimitEntry, OverrideEntry};
use super::place::Places;
use super::terms::{self, Terms};
use super::{LimitList, LimitRule};
use crate::limit::{Algorithm, Limit, Scope};
use crate::policy_set::files::fault;
use crate::policy_set::load::document_fault;
use crate::request::Text;
use crate::schema;

/// Longest domain, descriptor key or descriptor value, in bytes.
const MAX_TEXT: usize = 1024;
/// Most entries of a limit's descriptor.
const MAX_ENTRIES: usize = 16;
/// Window of a limit that never counts, and so is never asked for it.
const NO_WINDOW: std::time::Duration = std::time::Duration::from_secs(1);

/// Compiles the limit list in `source`.
pub(crate) fn compile(source: &Source) -> Result<LimitList, Vec<Diagnostic>> {
    let document: Document =
        serde_norway::from_str(&source.text).map_err(|error| vec![document_fault(&source.path, &error)])?;
    let refuse = |message: &str| vec![fault(&source.path, DiagnosticCode::Document, message)];
    if document.limits.is_empty() {
        return Err(refuse("`limits` is empty: name at least one"));
    }
    if document.domain.as_ref().is_some_and(|domain| domain.is_empty() || domain.len() > MAX_TEXT) {
        return Err(refuse("`domain` must have 1 to 1,024 bytes"));
    }
    let mut list = LimitList {
        domain: document.domain.as_deref().map(Into::into),
        rules: Vec::with_capacity(document.limits.len()),
        descriptors: DescriptorTree::default(),
    };
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let places = Places::new(&source.text, document.limits.iter().map(|entry| entry.name.as_str()));
    let mut faults = Vec::new();
    for (position, entry) in document.limits.iter().enumerate() {
        if positions.insert(&entry.name, position).is_some() {
            faults.push(Reading { source, places: &places, entry, position }.fault("stands twice"));
        }
    }
    for (position, entry) in document.limits.iter().enumerate() {
        let reading = Reading { source, places: &places, entry, position };
        match reading.rule(list.domain.is_some(), &positions) {
            Ok(rule) => {
                if let Err(other) = list.descriptors.insert(&rule.descriptor, position) {
                    let other = document.limits.get(other).map_or("", |other| &other.name);
                    faults.push(reading.fault(&format!("has the same `descriptor` as limit `{other}`")));
                }
                list.rules.push(rule);
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(list) } else { Err(faults) }
}

/// One limit of a list, as it is read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    source: &'a Source,
    places: &'a Places<'a>,
    entry: &'a LimitEntry,
    position: usize,
}

impl Reading<'_> {
    fn rule(self, in_domain: bool, positions: &HashMap<&str, usize>) -> Result<LimitRule, Vec<Diagnostic>> {
        let entry = self.entry;
        let refuse = |message: String| vec![self.fault(&message)];
        let limit = limit(entry).map_err(refuse)?;
        let program = |text: &Option<String>| text.as_ref().map(|text| self.expression(text)).transpose();
        Ok(LimitRule {
            overrides: overrides(entry, &limit).map_err(refuse)?.into_iter().collect(),
            descriptor: descriptor(entry, in_domain).map_err(refuse)?,
            replaces: replaces(entry, positions).map_err(refuse)?,
            limit,
            key: program(&entry.key)?,
            when: program(&entry.when)?,
            cost: program(&entry.cost)?,
            shadow: entry.shadow,
            unlimited: entry.unlimited,
            detailed_metric: entry.detailed_metric,
        })
    }

    fn expression(self, text: &str) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
        let at = self.places.of(self.position, text);
        let source = Source { path: self.source.path.clone(), text: text.into() };
        pdp_policy::cel::compile_expression(&source, at, &schema::REQUEST)
    }

    /// A fault of the limit, at the place of its name.
    fn fault(self, message: &str) -> Diagnostic {
        let message = format!("limit `{}`: {message}", self.entry.name.escape_debug());
        let span = Some(self.places.of(self.position, &self.entry.name));
        Diagnostic { span, ..fault(&self.source.path, DiagnosticCode::Document, &message) }
    }
}

fn limit(entry: &LimitEntry) -> Result<Limit, String> {
    if !entry.unlimited {
        return entry.terms().limit();
    }
    terms::name(&entry.name)?;
    let counts = entry.algorithm.is_some()
        || entry.limit.is_some()
        || entry.window.is_some()
        || entry.burst.is_some()
        || entry.per.is_some()
        || entry.zone.is_some()
        || entry.hold.is_some()
        || entry.lease.is_some()
        || entry.cost.is_some()
        || entry.shadow
        || !entry.overrides.0.is_empty();
    if counts {
        let message =
            "`unlimited` never counts: remove what says how, such as `algorithm`, `limit`, `window`";
        return Err(message.to_owned());
    }
    Ok(Limit::new(entry.name.as_str(), Algorithm::FixedWindow, u64::MAX, NO_WINDOW))
}

/// The limit as it is for single tenants.
fn overrides(entry: &LimitEntry, limit: &Limit) -> Result<Vec<(Text, Limit)>, String> {
    if !entry.overrides.0.is_empty() && limit.scope == Scope::Estate {
        return Err("`overrides` go with `scope: tenant` only: the estate shares one counter".to_owned());
    }
    let of_tenant = |(tenant, own): &(String, OverrideEntry)| {
        let terms = Terms {
            limit: Some(own.limit),
            burst: own.burst.or(entry.burst),
            // A node's part of a smaller limit must not exceed it.
            lease: entry.lease.map(|lease| lease.min(own.limit.max(1))),
            ..entry.terms()
        };
        let limit = terms.limit().map_err(|error| format!("`overrides` of tenant `{tenant}`: {error}"))?;
        Ok((tenant.as_str().into(), limit))
    };
    entry.overrides.0.iter().map(of_tenant).collect()
}

/// The descriptor that a limit answers, and whether it has what its list asks for.
fn descriptor(entry: &LimitEntry, in_domain: bool) -> Result<Vec<Entry>, String> {
    let refuse = |message: &str| Err(message.to_owned());
    let Some(entries) = &entry.descriptor else {
        if in_domain {
            return refuse("`descriptor` is missing: a list with a `domain` answers descriptors");
        }
        if entry.share_threshold || entry.detailed_metric {
            return refuse("`share_threshold` and `detailed_metric` go with `descriptor` only");
        }
        if entry.key.is_none() && !entry.unlimited {
            return refuse("`key` is missing: write what is counted together, as in `subject.id`");
        }
        return Ok(Vec::new());
    };
    if !in_domain {
        return refuse("`descriptor` needs the list to have a `domain`");
    }
    if entry.key.is_some() {
        return refuse("`key` and `descriptor` exclude each other: the descriptor is the key");
    }
    if entries.is_empty() || entries.len() > MAX_ENTRIES {
        return refuse("`descriptor` must have 1 to 16 entries");
    }
    let read = |it: &DescriptorEntry| {
        if it.key.is_empty() || it.key.len() > MAX_TEXT {
            return Err("a `key` in `descriptor` must have 1 to 1,024 bytes".to_owned());
        }
        if it.value.as_ref().is_some_and(|value| value.is_empty() || value.len() > MAX_TEXT) {
            return Err(
                "a `value` in `descriptor` must have 1 to 1,024 bytes: leave it out for any".to_owned()
            );
        }
        let read =
            Entry { key: it.key.as_str().into(), value: it.value.as_deref().map(Into::into), share: false };
        if it.share_threshold == Some(true) && !read.is_pattern() {
            return Err("`share_threshold` needs a `value` with `*`".to_owned());
        }
        let share = read.is_pattern() && it.share_threshold.unwrap_or(entry.share_threshold);
        Ok(Entry { share, ..read })
    };
    let entries: Vec<Entry> = entries.iter().map(read).collect::<Result<_, _>>()?;
    if entry.share_threshold && !entries.iter().any(Entry::is_pattern) {
        return refuse("`share_threshold` needs a `value` with `*`");
    }
    Ok(entries)
}

/// Positions of the limits that `entry` replaces.
fn replaces(entry: &LimitEntry, positions: &HashMap<&str, usize>) -> Result<Vec<usize>, String> {
    let position = |name: &String| {
        if *name == entry.name {
            return Err("`replaces` names the limit itself".to_owned());
        }
        let position = positions.get(name.as_str()).copied();
        position.ok_or_else(|| format!("`replaces` names `{name}`, which is no limit of this list"))
    };
    entry.replaces.iter().map(position).collect()
}
