//! Envoy's rate limit service: `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`.

use std::time::Instant;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use pdp_engine::Text;
use pdp_proto::v1::ErrorDetail;

use super::body::answer;
use super::{DecisionService, ResponseBody, by, deadline};
use crate::convert;
use crate::decider::check::Check;

/// Names the HTTP request behind the call; Envoy sends it where it is told to.
const REQUEST_ID: &str = "x-request-id";
/// A caller that writes `x-ratelimit-*` by itself, as Envoy may, says `off`: else they would stand twice.
const OWN_HEADERS: &str = "x-pdp-ratelimit-headers";
const RETRY_AFTER: &str = "retry-after";

impl DecisionService {
    pub(super) async fn should_rate_limit(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, ErrorDetail> {
        let _permit = self.decider.counted(self.admission.admit())?;
        let deadline = deadline::deadline(request.headers(), Instant::now());
        let request_id = request_id(request.headers());
        let own_headers = request.headers().get(OWN_HEADERS).is_some_and(|value| value == "off");
        let message = self.decider.counted(self.read_one(request, deadline).await)?;
        let decided = match self.decider.begin_rate_limit(message, request_id, deadline) {
            Check::Done(decided) => decided,
            Check::Waiting(waiting) => by(deadline, waiting).await.unwrap_or_else(Err),
        };
        let mut decided = self.decider.counted(decided)?;
        if own_headers {
            decided.response_headers_to_add.retain(|header| header.key == RETRY_AFTER);
        }
        Ok(answer(&decided))
    }
}

/// The request's id, where it has one that may name a request: not every proxy's has this form, and a call
/// is not refused for what only saves its caller from paying twice.
fn request_id(headers: &HeaderMap) -> Option<Text> {
    let mut values = headers.get_all(REQUEST_ID).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    convert::request_id(value.to_str().ok()?).ok().flatten()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Option<Text> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REQUEST_ID, HeaderValue::from_static(value));
        }
        request_id(&headers)
    }

    #[test]
    fn only_one_well_formed_id_names_a_request() {
        assert_eq!(read(&["8f-1"]).as_deref(), Some("8f-1"));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[""]), None);
        assert_eq!(read(&["two words"]), None);
        assert_eq!(read(&["one", "two"]), None, "which of them would it be?");
    }
}
