//! Limit lists: which limits apply to a request and under which key.

use std::time::Duration;

use pdp_policy::{Diagnostic, DiagnosticCode, Source, Span};
use serde::Deserialize;

use crate::limit::{Algorithm, Limit};
use crate::policy_set::LimitRule;
use crate::policy_set::files::fault;
use crate::policy_set::load::document_fault;
use crate::policy_set::manifest::duration;
use crate::schema;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    limits: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    algorithm: AlgorithmName,
    limit: u64,
    #[serde(deserialize_with = "duration")]
    window: Duration,
    burst: Option<u64>,
    key: String,
    when: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AlgorithmName {
    Gcra,
    FixedWindow,
    SlidingWindow,
}

/// Compiles the limit list in `source`.
pub(crate) fn compile(source: &Source) -> Result<Vec<LimitRule>, Vec<Diagnostic>> {
    let document: Document =
        serde_norway::from_str(&source.text).map_err(|error| vec![document_fault(&source.path, &error)])?;
    if document.limits.is_empty() {
        return Err(vec![fault(
            &source.path,
            DiagnosticCode::Document,
            "`limits` is empty: name at least one",
        )]);
    }
    let mut rules: Vec<LimitRule> = Vec::with_capacity(document.limits.len());
    let mut faults = Vec::new();
    for entry in &document.limits {
        if rules.iter().any(|rule| *rule.limit.name == *entry.name) {
            let message = format!("limit `{}` is named twice", entry.name);
            faults.push(fault(&source.path, DiagnosticCode::Document, &message));
            continue;
        }
        match rule(source, entry) {
            Ok(rule) => rules.push(rule),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

fn rule(source: &Source, entry: &Entry) -> Result<LimitRule, Vec<Diagnostic>> {
    let refuse = |message: String| {
        vec![fault(&source.path, DiagnosticCode::Document, &format!("limit `{}`: {message}", entry.name))]
    };
    let algorithm = match (entry.algorithm, entry.burst) {
        (AlgorithmName::Gcra, burst) => Algorithm::Gcra { burst: burst.unwrap_or(entry.limit) },
        (_, Some(_)) => return Err(refuse("`burst` goes with `algorithm: gcra` only".to_owned())),
        (AlgorithmName::FixedWindow, None) => Algorithm::FixedWindow,
        (AlgorithmName::SlidingWindow, None) => Algorithm::SlidingWindow,
    };
    let limit = Limit::new(entry.name.as_str(), algorithm, entry.limit, entry.window);
    limit.validate().map_err(|error| refuse(error.to_string()))?;
    let expression = |text: &str| {
        let at = place(&source.text, text);
        let source = Source { path: source.path.clone(), text: text.into() };
        pdp_policy::cel::compile_expression(&source, at, &schema::REQUEST)
    };
    let key = expression(&entry.key)?;
    let when = entry.when.as_deref().map(expression).transpose()?;
    Ok(LimitRule { limit, key, when })
}

/// Where `expression` first stands in `text`; the file's start where it is folded over lines.
fn place(text: &str, expression: &str) -> Span {
    let head = text.find(expression).and_then(|at| text.get(..at)).unwrap_or("");
    let row = head.bytes().filter(|byte| *byte == b'\n').count();
    let column = head.chars().rev().take_while(|c| *c != '\n').count();
    let from_one = |count: usize| u32::try_from(count).unwrap_or(u32::MAX - 1) + 1;
    Span { row: from_one(row), column: from_one(column) }
}
