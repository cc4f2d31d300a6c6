//! A request as it travels, to a request as the engine trusts it.

use pdp_engine::{Observed, Question, Request, StoredFacts, Text};
use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;

use super::bounds::{count, invalid, optional, present, size, structure, texts, time};
use super::message;
use crate::errors::InvalidRequest;

/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// Checks every bound that the contract documents and converts.
///
/// # Errors
/// The first fault found, with the path of its field.
pub fn request(from: &proto::CheckRequest) -> Result<Request, InvalidRequest> {
    let facts = message::facts(from)?;
    let request = Request {
        request_id: request_id(&from.request_id)?,
        policy_revision: optional("policy_revision", &from.policy_revision, 64)?,
        required_policies: required_policies(&from.required_policy_ids)?,
        questions: questions(&from.questions)?,
        facts,
        observed: observed(from)?,
        stored: StoredFacts::default(),
        preview: from.limit.as_ref().is_some_and(|limit| limit.preview),
        report_later: from.limit.as_ref().is_some_and(|limit| limit.report_later),
    };
    fields_of_questions(&request, from)?;
    Ok(request)
}

/// A caller's name for its request.
pub(crate) fn request_id(id: &str) -> Result<Option<Text>, InvalidRequest> {
    size("request_id", id.len(), MAX_REQUEST_ID)?;
    if let Some(bad) = id.chars().find(|c| !c.is_ascii_graphic()) {
        let message = format!("holds {bad:?}; only visible ASCII characters are accepted");
        return Err(invalid(ErrorReason::FieldMalformed, "request_id", message));
    }
    Ok((!id.is_empty()).then(|| Text::from(id)))
}

fn required_policies(ids: &[String]) -> Result<Vec<Text>, InvalidRequest> {
    if let Some(at) = ids.iter().position(String::is_empty) {
        let field = format!("required_policy_ids[{at}]");
        return Err(invalid(ErrorReason::FieldRequired, field, "must not be empty"));
    }
    texts("required_policy_ids", ids, 32)
}

/// The questions in the order of evaluation.
fn questions(asked: &[i32]) -> Result<Vec<Question>, InvalidRequest> {
    if asked.is_empty() {
        return Err(invalid(ErrorReason::FieldRequired, "questions", "ask at least one question"));
    }
    let mut questions = Vec::with_capacity(asked.len().min(4));
    for (at, number) in asked.iter().enumerate() {
        let question = match proto::Question::try_from(*number) {
            Ok(proto::Question::Access) => Question::Access,
            Ok(proto::Question::Segmentation) => Question::Segmentation,
            Ok(proto::Question::Egress) => Question::Egress,
            Ok(proto::Question::RateLimit) => Question::RateLimit,
            Ok(proto::Question::Unspecified) | Err(_) => {
                let message = format!("`{number}` is no question; 1 to 4 are");
                return Err(invalid(ErrorReason::EnumUnknown, format!("questions[{at}]"), message));
            }
        };
        if questions.contains(&question) {
            let field = format!("questions[{at}]");
            return Err(invalid(ErrorReason::Duplicate, field, "a question may be asked once"));
        }
        questions.push(question);
    }
    questions.sort_unstable();
    Ok(questions)
}

fn observed(from: &proto::CheckRequest) -> Result<Observed, InvalidRequest> {
    let device = from.device.as_ref().and_then(|device| device.observed_at.as_ref());
    let location = from.location.as_ref().and_then(|location| location.observed_at.as_ref());
    let behaviour = from.behaviour.as_ref().and_then(|behaviour| behaviour.observed_at.as_ref());
    Ok(Observed {
        device: time("device.observed_at", device)?,
        location: time("location.observed_at", location)?,
        behaviour: time("behaviour.observed_at", behaviour)?,
    })
}

/// Refuses a request that lacks what one of its questions needs.
fn fields_of_questions(request: &Request, from: &proto::CheckRequest) -> Result<(), InvalidRequest> {
    let facts = &request.facts;
    for question in &request.questions {
        match question {
            Question::RateLimit => {}
            Question::Access => {
                let name = "QUESTION_ACCESS";
                present("subject", facts.subject.as_ref(), name)?;
                present("action", facts.action.as_ref(), name)?;
                present("resource", facts.resource.as_ref(), name)?;
            }
            Question::Segmentation => {
                let name = "QUESTION_SEGMENTATION";
                present("function", facts.function.as_ref(), name)?;
                present("destination", facts.destination.as_ref(), name)?;
            }
            Question::Egress => {
                let name = "QUESTION_EGRESS";
                present("function", facts.function.as_ref(), name)?;
                present("destination", facts.destination.as_ref(), name)?;
                present("payload", from.payload.as_ref(), name)?;
            }
        }
    }
    Ok(())
}

/// `context`, which is absent where its message is.
pub(super) fn context(from: &proto::CheckRequest) -> Result<Option<pdp_policy::Map>, InvalidRequest> {
    from.context.as_ref().map(|context| structure("context", context)).transpose()
}

/// Refuses an empty batch and one with more than 1,000 items.
pub(crate) fn batch_size(items: usize) -> Result<(), InvalidRequest> {
    if items == 0 {
        return Err(invalid(ErrorReason::FieldRequired, "items", "send at least one item"));
    }
    count("items", items, 1_000)
}
