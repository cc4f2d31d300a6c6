//! Length-prefixed messages of gRPC over HTTP/2, read from a request's body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Body;
use pdp_proto::v1::{ErrorDetail, ErrorReason};
use prost::Message;

use crate::errors;

/// Compression flag and length.
pub(super) const PREFIX: usize = 5;

/// Reads messages, at most `limit` bytes each. Nothing past the limit is buffered.
pub(super) struct MessageReader<B> {
    body: B,
    limit: usize,
    /// Bytes received, beginning at a prefix.
    received: Bytes,
    /// Collects a message that came in several frames; empty while `received` is not.
    partial: BytesMut,
    ended: bool,
}

impl<B: Body<Data = Bytes> + Unpin> MessageReader<B> {
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self { body, limit, received: Bytes::new(), partial: BytesMut::new(), ended: false }
    }

    /// The next message; `None` at the end of the body.
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ErrorDetail>>> {
        loop {
            match self.take() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(None) if self.ended => return Poll::Ready(self.rest()),
                Ok(None) => {}
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.push(data);
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(truncated("the call was broken off")))),
                None => self.ended = true,
            }
        }
    }

    fn push(&mut self, data: Bytes) {
        if self.received.is_empty() && self.partial.is_empty() {
            self.received = data;
        } else {
            if self.partial.is_empty() {
                self.partial.reserve(self.received.len() + data.len());
                self.partial.put(std::mem::take(&mut self.received));
            }
            self.partial.put(data);
        }
    }

    /// Takes a message that has arrived whole.
    fn take(&mut self) -> Result<Option<Bytes>, ErrorDetail> {
        let bytes: &[u8] = if self.partial.is_empty() { &self.received } else { &self.partial };
        let Some((mut prefix, _)) = bytes.split_at_checked(PREFIX) else { return Ok(None) };
        let compressed = prefix.get_u8();
        let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
        if compressed != 0 {
            return Err(compression_unsupported());
        }
        if length > self.limit {
            return Err(errors::message_too_large(length, self.limit));
        }
        let whole = PREFIX + length;
        if bytes.len() < whole {
            return Ok(None);
        }
        if !self.partial.is_empty() {
            self.received = std::mem::take(&mut self.partial).freeze();
        }
        let mut message = self.received.split_to(whole);
        message.advance(PREFIX);
        Ok(Some(message))
    }

    /// What is left at the end of the body must be nothing.
    fn rest(&mut self) -> Option<Result<Bytes, ErrorDetail>> {
        let left = self.received.len() + self.partial.len();
        self.received.clear();
        self.partial.clear();
        (left > 0).then(|| Err(truncated("the body ends inside of a message")))
    }
}

fn truncated(message: &str) -> ErrorDetail {
    errors::detail(ErrorReason::FieldMalformed, "", message)
}

/// Compression is not offered, so a compressed message is UNIMPLEMENTED (gRPC over HTTP/2, "Compression").
fn compression_unsupported() -> ErrorDetail {
    let mut error = truncated("the message is compressed; send it with the encoding `identity`");
    error.grpc_code = tonic::Code::Unimplemented as i32;
    error
}

/// Appends a message with its prefix.
pub(super) fn write_message(message: &impl Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(PREFIX + length);
    out.put_u8(0);
    // Answers are far below 4 GiB: their largest part is a payload of at most 4 MiB.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Encoding fails only without room, and a `BytesMut` grows.
    let _ = message.encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;

    struct Chunks(VecDeque<Vec<u8>>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|chunk| Ok(http_body::Frame::data(chunk.into()))))
        }
    }

    fn read(chunks: Vec<Vec<u8>>, limit: usize) -> Vec<Result<Bytes, ErrorDetail>> {
        let mut reader = MessageReader::new(Chunks(chunks.into()), limit);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut messages = Vec::new();
        while let Poll::Ready(Some(message)) = reader.poll_message(&mut context) {
            let failed = message.is_err();
            messages.push(message);
            if failed {
                break;
            }
        }
        messages
    }

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.push(0);
            bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            bytes.extend(*message);
        }
        bytes
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let sent: [&[u8]; 4] = [b"one", b"", b"three hundred", b"x"];
        let bytes = framed(&sent);
        for size in 1..=bytes.len() {
            let got = read(bytes.chunks(size).map(<[u8]>::to_vec).collect(), 100);
            let got: Vec<Bytes> = got.into_iter().map(Result::unwrap).collect();
            assert_eq!(got, sent, "chunks of {size}");
        }
    }

    #[test]
    fn message_past_the_limit_is_refused_by_its_prefix_alone() {
        let got = read(vec![vec![0, 0xff, 0xff, 0xff, 0xff]], 100);
        assert_eq!(got[0].as_ref().unwrap_err().reason, i32::from(ErrorReason::TooLarge));
    }

    #[test]
    fn truncated_body_is_an_error() {
        let mut bytes = framed(&[b"whole", b"cut off"]);
        bytes.truncate(bytes.len() - 1);
        let got = read(vec![bytes], 100);
        assert_eq!(got[0].as_ref().unwrap(), "whole");
        assert_eq!(got[1].as_ref().unwrap_err().reason, i32::from(ErrorReason::FieldMalformed));
    }

    #[test]
    fn compressed_message_is_unimplemented() {
        let got = read(vec![vec![1, 0, 0, 0, 0]], 100);
        assert_eq!(got[0].as_ref().unwrap_err().grpc_code, tonic::Code::Unimplemented as i32);
    }
}
