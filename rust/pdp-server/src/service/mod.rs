//! The decision service on HTTP/2: `Check`, `CheckBatch`, `CheckStream`, `ReportUsage`, health and reflection.
//!
//! The calls are read and written here instead of by generated code, so
//! that bytes which are no message are answered with a reason and a field, one
//! bad item spoils no other, and a call costs no allocation it does not need.

pub(crate) mod admin;
pub(crate) mod admission;
mod body;
mod deadline;
pub(crate) mod drain;
mod frame;
mod rate_limit;
pub(crate) mod standard;
mod stream;

use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use pdp_proto::v1::{ErrorDetail, ErrorReason};
use tonic::Status;
use tonic::service::Routes;
use tower::Service;

use self::admission::Admission;
pub(crate) use self::body::ResponseBody;
use self::body::{answer, failure, response};
use self::drain::{DrainSignal, EndsAtDrain};
use self::frame::MessageReader;
use self::stream::StreamBody;
use crate::decider::Decider;
use crate::decider::check::Check;
use crate::errors;

/// Time a caller without a deadline may take to send its request.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Time a batch may decide before other calls of its thread get their turn.
const TURN: Duration = Duration::from_micros(500);

/// The public service; one clone per connection.
#[derive(Clone)]
pub(crate) struct DecisionService {
    pub(crate) decider: Decider,
    pub(crate) admission: Admission,
    pub(crate) drain: DrainSignal,
    pub(crate) max_message_bytes: usize,
    pub(crate) stream_in_flight: usize,
    /// Health and reflection.
    pub(crate) standard: Routes,
}

impl DecisionService {
    /// Answers one call.
    pub(crate) async fn call(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        if let Some(refusal) = not_grpc(&request) {
            return refusal;
        }
        let answered = match request.uri().path() {
            "/pdp.v1.PolicyDecisionService/Check" => self.check(request).await,
            "/pdp.v1.PolicyDecisionService/CheckBatch" => self.check_batch(request).await,
            "/pdp.v1.PolicyDecisionService/CheckStream" => self.check_stream(request),
            "/pdp.v1.PolicyDecisionService/ReportUsage" => self.report_usage(request).await,
            "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit" => {
                self.should_rate_limit(request).await
            }
            _ => return self.other(request).await,
        };
        answered.unwrap_or_else(|error| failure(&error))
    }

    async fn check(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, ErrorDetail> {
        let _permit = self.decider.counted(self.admission.admit())?;
        let deadline = deadline::deadline(request.headers(), Instant::now());
        let message = self.decider.counted(self.read_one(request, deadline).await)?;
        let decided = match self.decider.begin_encoded(message, deadline) {
            Check::Done(decided) => decided,
            Check::Waiting(waiting) => by(deadline, waiting).await.unwrap_or_else(Err),
        };
        self.decider.counted(decided).map(|decided| answer(&decided))
    }

    async fn check_batch(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, ErrorDetail> {
        let _permit = self.decider.counted(self.admission.admit())?;
        let deadline = deadline::deadline(request.headers(), Instant::now());
        let message = self.decider.counted(self.read_one(request, deadline).await)?;
        let mut batch = self.decider.open_batch(message, deadline)?;
        let mut turn = Instant::now();
        loop {
            if !batch.advance(&self.decider) {
                match by(deadline, batch.settle(&self.decider)).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(answer(&batch.into_response())),
                    Err(_) => batch.give_up(&self.decider),
                }
            }
            if turn.elapsed() > TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
        }
    }

    async fn report_usage(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, ErrorDetail> {
        let _permit = self.decider.counted(self.admission.admit())?;
        let deadline = deadline::deadline(request.headers(), Instant::now());
        let message = self.decider.counted(self.read_one(request, deadline).await)?;
        let settled = by(deadline, self.decider.report_usage(message)).await.and_then(|settled| settled);
        self.decider.counted(settled).map(|settled| answer(&settled))
    }

    fn check_stream(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, ErrorDetail> {
        let permit = self.decider.counted(self.admission.admit())?;
        let deadline = deadline::deadline(request.headers(), Instant::now());
        let reader = MessageReader::new(request.into_body(), self.max_message_bytes);
        let decider = self.decider.clone();
        let stream = StreamBody::new(decider, reader, self.stream_in_flight, deadline, &self.drain, permit);
        Ok(response(ResponseBody::Stream(Box::new(stream))))
    }

    async fn other(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (parts, body) = match self.standard.clone().call(request).await {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        // A status in the headers ends the call with them: some clients take an empty
        // data frame after it for a broken call (gRPC over HTTP/2, "Trailers-Only").
        if parts.headers.contains_key(Status::GRPC_STATUS) {
            return Response::from_parts(parts, ResponseBody::Empty);
        }
        let body = EndsAtDrain::new(body, &self.drain);
        Response::from_parts(parts, ResponseBody::Other(Box::new(body)))
    }

    /// Reads the one message of a unary call, to the end of the call.
    async fn read_one(
        &self,
        request: Request<Incoming>,
        deadline: Option<Instant>,
    ) -> Result<Bytes, ErrorDetail> {
        let until = deadline.unwrap_or_else(|| Instant::now() + READ_TIMEOUT);
        let mut reader = MessageReader::new(request.into_body(), self.max_message_bytes);
        let read = async {
            let message = poll_fn(|context| reader.poll_message(context)).await;
            let message = message.unwrap_or_else(|| Err(ill_formed("the call has no message")))?;
            match poll_fn(|context| reader.poll_message(context)).await {
                None => Ok(message),
                Some(Ok(_)) => Err(ill_formed("the call has more than one message")),
                Some(Err(error)) => Err(error),
            }
        };
        tokio::time::timeout_at(until.into(), read).await.unwrap_or_else(|_| Err(errors::deadline_passed()))
    }
}

/// What `future` comes to, if it does by the caller's deadline.
async fn by<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Result<T, ErrorDetail> {
    match deadline {
        None => Ok(future.await),
        Some(at) => tokio::time::timeout_at(at.into(), future).await.map_err(|_| errors::deadline_passed()),
    }
}

fn ill_formed(message: &str) -> ErrorDetail {
    errors::detail(ErrorReason::FieldMalformed, "", message)
}

/// What is no gRPC call gets an HTTP status (gRPC over HTTP/2, "Requests").
fn not_grpc(request: &Request<Incoming>) -> Option<Response<ResponseBody>> {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let status = if request.method() != Method::POST {
        StatusCode::METHOD_NOT_ALLOWED
    } else if !content_type.starts_with(b"application/grpc") {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        return None;
    };
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    Some(response)
}
