//! What one rule asks of a request: whether it applies, under which key, and for how many hits.

use pdp_policy::{EvalError, Value};

use super::{Match, Question};
use crate::decision::ReasonCode;
use crate::limit::{Algorithm, KeyError, Limit, encode_key, push_part};
use crate::outcome;
use crate::policy_set::{LimitList, LimitRule};
use crate::request::{LimitSpend, SpendLimit, Text};

/// Most hits that one request costs.
pub(super) const MAX_COST: i64 = 1_000_000_000;
/// Name of a limit that a request brings along.
const BROUGHT: &str = "override";

/// Why a limit cannot be asked.
pub(super) struct Fault {
    pub(super) code: ReasonCode,
    pub(super) message: String,
}

/// A counter's key with the hits to spend; 0 only reads.
pub(super) struct Demand {
    pub(super) key: String,
    pub(super) hits: u64,
}

/// Whether the rule's condition says that it applies.
pub(super) fn applies(found: Match, rule: &LimitRule, question: &mut Question<'_>) -> Result<bool, Fault> {
    if rule.when.is_none() {
        return Ok(true);
    }
    let input = question.input();
    match question.evaluators.limit_applies(found.position, found.rule, input, question.now) {
        Ok(Some(Value::Bool(applies))) => Ok(applies),
        Ok(_) => Err(missing("`when` is not a boolean")),
        Err(error) => Err(failed(ReasonCode::LimitKeyMissing, error)),
    }
}

/// Key and hits of a rule that applies.
pub(super) fn of_rule(
    found: Match,
    list: &LimitList,
    rule: &LimitRule,
    question: &mut Question<'_>,
) -> Result<Demand, Fault> {
    let key = match (&list.domain, found.descriptor) {
        (Some(_), Some(at)) => descriptor_key(at, rule, question)?,
        _ => {
            let input = question.input();
            key(question.evaluators.limit_key(found.position, found.rule, input, question.now))?
        }
    };
    let hits = if rule.cost.is_some() {
        let input = question.input();
        cost(question.evaluators.limit_cost(found.position, found.rule, input, question.now))?
    } else {
        let limit = &question.request.facts.limit;
        let own = found.descriptor.and_then(|at| limit.descriptor_hits.get(at).copied().flatten());
        own.unwrap_or(limit.hits)
    };
    Ok(Demand { key, hits })
}

/// The limit that the descriptor set at `at` brings along, with its key and hits.
///
/// One of 0 hits is a limit of one hit that each request exceeds: no counter holds less.
pub(super) fn brought(
    at: usize,
    set: &[(Text, Text)],
    limit: SpendLimit,
    spend: &LimitSpend,
) -> Result<(Limit, Demand), Fault> {
    let own = spend.descriptor_hits.get(at).copied().flatten().unwrap_or(spend.hits);
    let hits = if limit.limit == 0 { own.max(1).saturating_add(1) } else { own };
    let key = encode_key(set.iter().flat_map(|(key, value)| [&**key, &**value])).map_err(unkeyed)?;
    let limit = Limit::new(BROUGHT, Algorithm::FixedWindow, limit.limit.max(1), limit.window);
    Ok((limit, Demand { key, hits }))
}

/// The matched entries of a request as `key_value.key_value`, as envoyproxy/ratelimit labels its metrics.
pub(super) fn descriptor_text(entries: &[(Text, Text)]) -> String {
    let entry = |(key, value): &(Text, Text)| {
        if value.is_empty() { key.to_string() } else { format!("{key}_{value}") }
    };
    entries.iter().map(entry).collect::<Vec<_>>().join(".")
}

/// The key of a descriptor: its keys and values, with the pattern in place of values that share a counter.
fn descriptor_key(at: usize, rule: &LimitRule, question: &Question<'_>) -> Result<String, Fault> {
    let entries = question.request.facts.limit.descriptor_sets.get(at).map_or(&[][..], Vec::as_slice);
    let parts = entries.iter().zip(&rule.descriptor).flat_map(|((key, value), entry)| {
        let shared = entry.value.as_deref().filter(|_| entry.share);
        [&**key, shared.unwrap_or(value)]
    });
    encode_key(parts).map_err(unkeyed)
}

/// The text of a key.
fn key(answer: Result<Option<Value>, EvalError>) -> Result<String, Fault> {
    let value = match answer {
        Err(error) => return Err(failed(ReasonCode::LimitKeyMissing, error)),
        Ok(None) => return Err(missing("the key is undefined")),
        Ok(Some(value)) => value,
    };
    key_of(&value)
}

/// The key that a text, or a list of texts and whole numbers, makes.
pub(super) fn key_of(value: &Value) -> Result<String, Fault> {
    let mut key = String::with_capacity(64);
    let parts = match value {
        Value::List(parts) => parts.as_ref(),
        single => std::slice::from_ref(single),
    };
    for part in parts {
        match part {
            Value::Text(part) => push_part(&mut key, part),
            Value::Int(part) => push_part(&mut key, &part.to_string()),
            _ => return Err(missing("the key is neither text nor a list of texts and whole numbers")),
        }
        .map_err(unkeyed)?;
    }
    if key.is_empty() { Err(unkeyed(KeyError::Empty)) } else { Ok(key) }
}

/// The hits that a cost expression yields.
fn cost(answer: Result<Option<Value>, EvalError>) -> Result<u64, Fault> {
    let invalid = |message: String| Err(Fault { code: ReasonCode::LimitCostInvalid, message });
    match answer {
        Err(error) => Err(failed(ReasonCode::LimitCostInvalid, error)),
        Ok(Some(Value::Int(hits))) if (1..=MAX_COST).contains(&hits) => Ok(hits.unsigned_abs()),
        Ok(Some(Value::Int(hits))) => invalid(format!("the cost is {hits}: must be 1 to 1,000,000,000")),
        Ok(Some(_)) => invalid("the cost is no whole number".to_owned()),
        Ok(None) => invalid("the cost is undefined".to_owned()),
    }
}

fn missing(message: &str) -> Fault {
    Fault { code: ReasonCode::LimitKeyMissing, message: message.to_owned() }
}

fn unkeyed(error: KeyError) -> Fault {
    missing(&error.to_string())
}

/// A policy's own failure has the given code; a budget that was passed, its own.
fn failed(code: ReasonCode, error: EvalError) -> Fault {
    match error {
        EvalError::Policy { message } => Fault { code, message },
        error => Fault { code: outcome::code(&error), message: error.to_string() },
    }
}
