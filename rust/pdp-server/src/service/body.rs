//! Bodies of the decision service's responses.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Response};
use http_body::{Body, Frame};
use pdp_proto::v1::ErrorDetail;
use prost::Message;
use tonic::Status;

use super::drain::EndsAtDrain;
use super::frame::{self, PREFIX};
use super::stream::StreamBody;
use crate::errors;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");

/// A response's body.
pub(crate) enum ResponseBody {
    /// No body: the status is in the headers.
    Empty,
    /// One message, then the trailers.
    Unary(Option<Bytes>),
    /// The end of a unary answer.
    Trailers(Option<HeaderMap>),
    /// Answers of `CheckStream`.
    Stream(Box<StreamBody>),
    /// Health and reflection.
    Other(Box<EndsAtDrain>),
}

/// What ends a body early.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Unary(message) => {
                let message = message.take().unwrap_or_default();
                *this = Self::Trailers(Some(ok_trailers()));
                Poll::Ready(Some(Ok(Frame::data(message))))
            }
            Self::Trailers(trailers) => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Self::Stream(stream) => stream.poll_answers(context).map(|frame| frame.map(Ok)),
            Self::Other(body) => Pin::new(body.as_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            // A failed call of theirs is headers alone, and must be sent so.
            Self::Other(body) => body.is_end_stream(),
            _ => matches!(self, Self::Empty | Self::Trailers(None)),
        }
    }
}

/// Trailers of a call that worked.
pub(super) fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, OK);
    trailers
}

/// Trailers of a call that failed after its headers were sent.
pub(super) fn error_trailers(error: &ErrorDetail) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // A status of ASCII metadata always fits a header; percent-encoding sees to the message.
    let _ = errors::status(error).add_header(&mut trailers);
    trailers
}

/// Headers of a call whose body is to follow.
pub(super) fn response(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// An answer of one message.
pub(super) fn answer(message: &impl Message) -> Response<ResponseBody> {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.encoded_len());
    frame::write_message(message, &mut bytes);
    response(ResponseBody::Unary(Some(bytes.freeze())))
}

/// A failed call.
pub(super) fn failure(error: &ErrorDetail) -> Response<ResponseBody> {
    status(errors::status(error))
}

/// A failed call of a status without detail.
pub(super) fn status(status: Status) -> Response<ResponseBody> {
    let (parts, ()) = status.into_http::<()>().into_parts();
    Response::from_parts(parts, ResponseBody::Empty)
}
