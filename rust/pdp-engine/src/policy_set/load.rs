//! Builds a policy set from a directory: all of it, or every reason why not.

use std::path::Path;
use std::time::Duration;

use pdp_policy::{Diagnostic, DiagnosticCode, Key, Map, Source, Span, Value, cel, rego};

use crate::decision::Question;
use crate::policy_set::files::{Files, fault};
use crate::policy_set::manifest::{EngineKind, Entry, Manifest, StoredFactEntry};
use crate::policy_set::selector::Selectors;
use crate::policy_set::{Body, FactRequirement, Policy, PolicyInfo, PolicySet, StoredRequirement};
use crate::policy_set::{fact_names, limits};
use crate::schema;

/// Name of the manifest inside a policy directory.
const MANIFEST: &str = "manifest.yaml";

/// Rules that a Rego policy answers with.
const RULES: [&str; 3] = ["allow", "deny", "obligations"];

/// Rules that a Rego policy answers a rate-limit question with.
const LIMIT_RULES: [&str; 2] = ["deny", "limits"];

/// Bounds of a policy set.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Bytes of one file.
    pub max_file_bytes: u64,
    /// Policies of one set.
    pub max_policies: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { max_file_bytes: 64 << 20, max_policies: 100_000 }
    }
}

impl PolicySet {
    /// Builds the set in `directory`.
    ///
    /// # Errors
    /// Every fault found in the manifest or in the policies it names.
    pub fn load(directory: &Path, options: &LoadOptions) -> Result<Self, Vec<Diagnostic>> {
        let mut files = Files::new(directory, options.max_file_bytes);
        let source = files.read(MANIFEST).map_err(|fault| vec![fault])?;
        let manifest: Manifest =
            serde_norway::from_str(&source.text).map_err(|error| vec![document_fault(MANIFEST, &error)])?;
        check(&manifest, options)?;
        let mut policies = Vec::with_capacity(manifest.policies.len());
        let mut faults = Vec::new();
        for entry in &manifest.policies {
            match policy(entry, &mut files) {
                Ok(policy) => policies.push(policy),
                Err(found) => {
                    faults.extend(found.into_iter().filter(|f| !faults.contains(f)).collect::<Vec<_>>())
                }
            }
        }
        if faults.is_empty() { Ok(Self::new(files.revision(), policies)) } else { Err(faults) }
    }
}

/// Checks what concerns the manifest as a whole.
fn check(manifest: &Manifest, options: &LoadOptions) -> Result<(), Vec<Diagnostic>> {
    let refuse = |code, message: String| Err(vec![fault(MANIFEST, code, &message)]);
    if manifest.version != 1 {
        let message = format!("version {} is unknown: write `version: 1`", manifest.version);
        return refuse(DiagnosticCode::Document, message);
    }
    if manifest.policies.len() > options.max_policies {
        let message = format!("names {} policies, over {}", manifest.policies.len(), options.max_policies);
        return refuse(DiagnosticCode::TooLarge, message);
    }
    let mut seen = std::collections::HashSet::new();
    for entry in &manifest.policies {
        if !seen.insert(entry.id.as_str()) {
            return refuse(DiagnosticCode::Document, format!("policy id `{}` is used twice", entry.id));
        }
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if entry.id.is_empty() || entry.id.len() > 128 || !entry.id.chars().all(valid) {
            let message = format!(
                "policy id `{}` is malformed: use 1 to 128 letters, digits, `.`, `_`, `-`, `/`",
                entry.id.escape_default()
            );
            return refuse(DiagnosticCode::Document, message);
        }
    }
    Ok(())
}

fn policy(entry: &Entry, files: &mut Files<'_>) -> Result<Policy, Vec<Diagnostic>> {
    let limits = match entry.engine {
        EngineKind::Limits => entry.kind == Question::RateLimit,
        EngineKind::Cel => entry.kind != Question::RateLimit,
        EngineKind::Rego => true,
    };
    if !limits {
        let message = format!(
            "policy `{}`: `kind: rate_limit` goes with `engine: limits` or `rego`, and `limits` with no other kind",
            entry.id
        );
        return Err(vec![fault(MANIFEST, DiagnosticCode::Document, &message)]);
    }
    let source = files.read(&entry.source).map_err(|fault| vec![fault])?;
    let stored = stored_requirements(entry);
    let stored_kinds = stored.iter().map(|it| it.kind).collect();
    let read_unnamed = fact_names::unnamed(&source, entry.engine, stored_kinds);
    if !read_unnamed.is_empty() {
        return Err(read_unnamed);
    }
    let body = match entry.engine {
        EngineKind::Rego => rego_body(entry, source, files)?,
        EngineKind::Cel => {
            let program = cel::compile_policy(&source, &schema::REQUEST)?;
            Body::Rules { program, grants: true }
        }
        EngineKind::Limits => Body::Limits(limits::compile(&source)?),
    };
    Ok(Policy {
        info: PolicyInfo {
            id: entry.id.as_str().into(),
            kind: entry.kind,
            engine: entry.engine,
            tier: entry.tier,
            mode: entry.mode,
            owner: entry.owner.clone(),
            description: entry.description.clone(),
            controls: entry.controls.clone(),
        },
        selectors: Selectors::new(&entry.selectors),
        facts: requirements(entry),
        stored,
        stored_kinds,
        on_error: entry.on_error,
        cacheable_for: cacheable_for(entry, &body)?,
        budget: entry.budget,
        body,
    })
}

fn requirements(entry: &Entry) -> Vec<FactRequirement> {
    let requirement = |(group, fact): (&_, &crate::policy_set::manifest::FactEntry)| FactRequirement {
        group: *group,
        max_age: fact.max_age,
    };
    entry.facts.iter().map(requirement).collect()
}

fn stored_requirements(entry: &Entry) -> Vec<StoredRequirement> {
    let requirement = |(kind, fact): (&_, &StoredFactEntry)| StoredRequirement {
        kind: *kind,
        max_age: fact.max_age,
        required: fact.required,
    };
    entry.stored_facts.iter().map(requirement).collect()
}

/// Only the answer of a policy that is pure, and reads nothing that others may change, may be reused.
fn cacheable_for(entry: &Entry, body: &Body) -> Result<Option<Duration>, Vec<Diagnostic>> {
    let pure = match body {
        Body::Rules { program, .. } => {
            program.is_pure() && entry.kind != Question::RateLimit && entry.stored_facts.is_empty()
        }
        Body::Limits(_) => false,
    };
    if entry.cacheable_for.is_some() && !pure {
        let message = format!(
            "policy `{}`: `cacheable_for` needs a policy without time, randomness, counters or stored facts: \
             remove it",
            entry.id
        );
        return Err(vec![fault(MANIFEST, DiagnosticCode::Document, &message)]);
    }
    Ok(entry.cacheable_for)
}

fn rego_body(entry: &Entry, source: Source, files: &mut Files<'_>) -> Result<Body, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let package = package(&source).map_err(|fault| vec![fault])?;
    let mut modules = vec![source];
    for library in &entry.libraries {
        files.read(library).map_or_else(|fault| faults.push(fault), |module| modules.push(module));
    }
    for library in modules.iter().skip(1) {
        faults.extend(fact_names::unnamed(
            library,
            entry.engine,
            entry.stored_facts.keys().copied().collect(),
        ));
    }
    let mut data = Vec::with_capacity(entry.data.len());
    for path in &entry.data {
        data_document(path, files).map_or_else(|fault| faults.push(fault), |pair| data.push(pair));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let data = Value::Map(Map::from_entries(data));
    let required = entry.stored_facts.iter().filter(|(_, fact)| fact.required).map(|(kind, _)| *kind);
    let mut guaranteed = schema::guaranteed(entry.kind);
    guaranteed.extend(schema::guaranteed_facts(&required.collect::<Vec<_>>()));
    let guaranteed: Vec<&str> = guaranteed.iter().map(String::as_str).collect();
    let source = rego::RegoSource {
        modules: &modules,
        data: &data,
        package: &package,
        rules: if entry.kind == Question::RateLimit { &LIMIT_RULES } else { &RULES },
        guaranteed: &guaranteed,
    };
    let program = rego::compile(&source)?;
    let grants = entry.kind != Question::RateLimit && program.defines("allow");
    Ok(Body::Rules { program, grants })
}

/// The package a module declares, without `package`.
fn package(source: &Source) -> Result<String, Diagnostic> {
    let declared = source.text.lines().find_map(|line| line.trim().strip_prefix("package "));
    let name = declared.map(|rest| rest.split('#').next().unwrap_or("").trim().to_owned());
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        fault(&source.path, DiagnosticCode::RegoSyntax, "no package: begin the module with `package <name>`")
    })
}

/// A data file as the entry `data.<stem>`.
fn data_document(path: &str, files: &mut Files<'_>) -> Result<(Key, Value), Diagnostic> {
    let source = files.read(path)?;
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let json: serde_json::Value = if path.ends_with(".json") {
        serde_json::from_str(&source.text).map_err(|error| {
            let span = Some(Span { row: clamp(error.line()), column: clamp(error.column()) });
            Diagnostic { span, ..fault(path, DiagnosticCode::Document, &error.to_string()) }
        })?
    } else {
        serde_norway::from_str(&source.text).map_err(|error| document_fault(path, &error))?
    };
    Ok((Key::Owned(stem.into()), Value::from(&json)))
}

/// A YAML fault with its place.
pub(crate) fn document_fault(path: &str, error: &serde_norway::Error) -> Diagnostic {
    let span = error.location().map(|at| Span { row: clamp(at.line()), column: clamp(at.column()) });
    Diagnostic { span, ..fault(path, DiagnosticCode::Document, &error.to_string()) }
}

fn clamp(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
