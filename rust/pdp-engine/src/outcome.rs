//! What one policy's evaluation comes to, read strictly: a value of the wrong
//! shape is an error, never a guess.

use pdp_policy::{EvalError, Map, Value};

use crate::decision::{Obligation, Reason, ReasonCode};
use crate::policy_set::{EngineKind, Policy};
use crate::request::Text;

/// What a policy says about a question.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It allows, under obligations.
    Allow { reason: Reason, obligations: Vec<Obligation> },
    /// It denies, for one or more reasons.
    Deny(Vec<Reason>),
    /// It could have allowed and did not.
    Abstain,
    /// It cannot allow and does not deny; it may oblige.
    Pass { obligations: Vec<Obligation> },
    /// It failed, and its failure denies.
    Error(Reason),
}

impl Outcome {
    /// Whether the policy failed, closed or open; such an outcome is never memoised.
    pub(crate) fn failed(&self) -> bool {
        match self {
            Self::Error(_) => true,
            Self::Allow { reason, .. } => reason.code == ReasonCode::FailOpen,
            Self::Deny(_) | Self::Abstain | Self::Pass { .. } => false,
        }
    }

    /// Reads what `policy`'s program answered.
    pub(crate) fn read(policy: &Policy, grants: bool, answer: Result<Option<Value>, EvalError>) -> Self {
        let read = match answer {
            Err(error) => return failure(policy, code(&error), &error.to_string()),
            Ok(value) => match policy.info.engine {
                EngineKind::Cel => read_cel(policy, value.as_ref()),
                EngineKind::Rego | EngineKind::Limits => read_rego(policy, grants, value.as_ref()),
            },
        };
        read.unwrap_or_else(|message| failure(policy, ReasonCode::PolicyOutputInvalid, &message))
    }
}

/// A failing policy's outcome: denial, unless its entry says that it fails open.
pub(crate) fn failure(policy: &Policy, code: ReasonCode, message: &str) -> Outcome {
    if policy.fails_open() {
        let message = format!("the policy failed and is set to fail open: {message}");
        return Outcome::Allow {
            reason: reason(policy, ReasonCode::FailOpen, None, &message),
            obligations: Vec::new(),
        };
    }
    Outcome::Error(reason(policy, code, None, message))
}

/// A reason that `policy` gives.
pub(crate) fn reason(policy: &Policy, code: ReasonCode, detail_code: Option<Text>, message: &str) -> Reason {
    Reason {
        code,
        policy_id: Some(policy.info.id.clone()),
        detail_code,
        message: message.into(),
        tier: Some(policy.info.tier),
    }
}

/// The code of an evaluation that gave no answer.
pub(crate) fn code(error: &EvalError) -> ReasonCode {
    match error {
        EvalError::Policy { .. } => ReasonCode::PolicyError,
        EvalError::Timeout => ReasonCode::PolicyTimeout,
        EvalError::Instructions => ReasonCode::PolicyInstructionLimit,
        EvalError::Memory => ReasonCode::PolicyMemoryLimit,
    }
}

/// Reads `allow`, `deny` and `obligations` of a Rego package.
fn read_rego(policy: &Policy, grants: bool, value: Option<&Value>) -> Result<Outcome, String> {
    let empty = Map::default();
    let rules = match value {
        None => &empty,
        Some(Value::Map(rules)) => rules,
        Some(_) => return Err("the package did not answer with a map".to_owned()),
    };
    let denials = denials(policy, rules.get("deny"))?;
    let obligations = obligations(policy, rules.get("obligations"))?;
    let allowed = match rules.get("allow") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err("`allow` is not a boolean".to_owned()),
    };
    Ok(match (denials.is_empty(), allowed, grants) {
        (false, _, _) => Outcome::Deny(denials),
        (true, true, _) => Outcome::Allow { reason: allow(policy), obligations },
        (true, false, true) => Outcome::Abstain,
        (true, false, false) => Outcome::Pass { obligations },
    })
}

/// Reads a CEL policy's `output` and `explanation`.
fn read_cel(policy: &Policy, value: Option<&Value>) -> Result<Outcome, String> {
    let Some(value) = value else { return Ok(Outcome::Abstain) };
    let output = value.get("output").ok_or("the policy answered without an output")?;
    let explanation = value.get("explanation").and_then(Value::as_text);
    match output {
        Value::Bool(true) => {
            Ok(Outcome::Allow { reason: cel_allow(policy, None, explanation), obligations: Vec::new() })
        }
        Value::Bool(false) => Ok(Outcome::Deny(vec![cel_deny(policy, None, explanation)])),
        Value::Map(map) => read_cel_map(policy, map, explanation),
        _ => Err("the output is neither a boolean nor a map with `effect`".to_owned()),
    }
}

fn read_cel_map(policy: &Policy, map: &Map, explanation: Option<&str>) -> Result<Outcome, String> {
    const KEYS: [&str; 4] = ["code", "effect", "message", "obligations"];
    if let Some((key, _)) = map.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
        return Err(format!("the output has an unknown key `{}`", key.as_str()));
    }
    let code = optional_text(map, "code")?;
    let message = optional_text(map, "message")?;
    let message = message.as_deref().or(explanation);
    match map.get("effect").and_then(Value::as_text) {
        Some("allow") => Ok(Outcome::Allow {
            reason: cel_allow(policy, code, message),
            obligations: obligations(policy, map.get("obligations"))?,
        }),
        Some("deny") => Ok(Outcome::Deny(vec![cel_deny(policy, code, message)])),
        _ => Err("the output's `effect` is neither `allow` nor `deny`".to_owned()),
    }
}

fn cel_allow(policy: &Policy, code: Option<Text>, message: Option<&str>) -> Reason {
    reason(policy, ReasonCode::PolicyAllow, code, message.unwrap_or("allowed"))
}

fn cel_deny(policy: &Policy, code: Option<Text>, message: Option<&str>) -> Reason {
    reason(policy, ReasonCode::PolicyDeny, code, message.unwrap_or("denied"))
}

fn allow(policy: &Policy) -> Reason {
    reason(policy, ReasonCode::PolicyAllow, None, "allowed")
}

/// Reads the rule `deny`.
pub(crate) fn denials(policy: &Policy, value: Option<&Value>) -> Result<Vec<Reason>, String> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::List(denials)) => denials.iter().map(|it| denial(policy, it)).collect(),
        Some(_) => Err("`deny` is not a set: write `deny contains {\"code\": …, \"message\": …}`".to_owned()),
    }
}

/// Reads an element of `deny`: a map with `code` and `message`.
fn denial(policy: &Policy, value: &Value) -> Result<Reason, String> {
    let Value::Map(map) = value else {
        return Err("an element of `deny` is not a map with `code` and `message`".to_owned());
    };
    let code = optional_text(map, "code")?;
    let message = optional_text(map, "message")?;
    if code.is_none() && message.is_none() {
        return Err("an element of `deny` has neither `code` nor `message`".to_owned());
    }
    Ok(reason(policy, ReasonCode::PolicyDeny, code, message.as_deref().unwrap_or("denied")))
}

fn optional_text(map: &Map, key: &str) -> Result<Option<Text>, String> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{key}` is not text")),
    }
}

fn obligations(policy: &Policy, value: Option<&Value>) -> Result<Vec<Obligation>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list = value.as_list().ok_or("`obligations` is not a set or list")?;
    let read = |item: &Value| {
        Obligation::parse(item, &policy.info.id)
            .ok_or_else(|| "an obligation is not a map with a text `type`".to_owned())
    };
    list.iter().map(read).collect()
}
