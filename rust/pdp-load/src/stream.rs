//! `CheckStream`: many requests in flight on one call, matched by their ids.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::SendStream;
use h2::client::ResponseFuture;
use tokio::sync::oneshot;

use crate::drive::Caller;
use crate::error::LoadError;
use crate::expect::first_bytes;
use crate::grpc::{PREFIX, check_status, open};
use crate::record::Record;

/// Tags of `CheckStreamRequest.request` and `CheckRequest.request_id`, both field 1 and length-delimited.
const FIELD_1: u8 = 0x0a;
const ID_LENGTH: usize = 8;

/// One call on a connection of its own.
pub(crate) struct StreamConnection {
    outgoing: RefCell<SendStream<Bytes>>,
    pending: Rc<RefCell<Pending>>,
}

/// Requests that wait for their answers. A request's id is its slot, so ids in flight differ.
#[derive(Default)]
struct Pending {
    slots: Vec<Option<oneshot::Sender<Bytes>>>,
    free: Vec<usize>,
    failure: Option<String>,
}

impl StreamConnection {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self, LoadError> {
        let (send, request) = open(address, path).await?;
        let mut send = send.ready().await?;
        let (response, outgoing) = send.send_request(request, false)?;
        let pending = Rc::new(RefCell::new(Pending::default()));
        let receiving = Rc::clone(&pending);
        tokio::task::spawn_local(async move {
            let end = receive(response, &receiving).await;
            let reason = end.err().map_or_else(|| "the stream ended".to_owned(), |error| error.to_string());
            receiving.borrow_mut().fail(reason);
        });
        Ok(Self { outgoing: RefCell::new(outgoing), pending })
    }
}

impl Caller for StreamConnection {
    /// `record.body` is a bare `CheckRequest`; the expectation is held against the `CheckResult`.
    async fn call(&self, index: usize, record: &Record) -> Result<(), LoadError> {
        let (slot, answer) = self.pending.borrow_mut().take_slot()?;
        self.outgoing.borrow_mut().send_data(wrap(&record.body, slot)?, false)?;
        let result = answer.await.map_err(|_| self.pending.borrow().error())?;
        record.expectation.verify(&result).map_err(|reason| LoadError::WrongAnswer { request: index, reason })
    }
}

impl Pending {
    fn take_slot(&mut self) -> Result<(usize, oneshot::Receiver<Bytes>), LoadError> {
        if self.failure.is_some() {
            return Err(self.error());
        }
        let (sender, receiver) = oneshot::channel();
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(vacant) => *vacant = Some(sender),
            None => self.slots.push(Some(sender)),
        }
        Ok((slot, receiver))
    }

    fn answer(&mut self, slot: usize, result: Bytes) -> Result<(), LoadError> {
        let sender = self.slots.get_mut(slot).and_then(Option::take).ok_or_else(|| {
            LoadError::WrongAnswer { request: slot, reason: "the answer's id is not in flight".to_owned() }
        })?;
        self.free.push(slot);
        // A receiver that is gone belongs to a run that has ended.
        let _ = sender.send(result);
        Ok(())
    }

    /// Drops all senders, which wakes all callers.
    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
        self.slots.clear();
    }

    fn error(&self) -> LoadError {
        LoadError::Transport(self.failure.clone().unwrap_or_else(|| "the stream ended".to_owned()))
    }
}

/// Reads answers until the stream ends.
async fn receive(response: ResponseFuture, pending: &RefCell<Pending>) -> Result<(), LoadError> {
    let (head, mut body) = response.await?.into_parts();
    check_status(0, &head.headers, head.status.is_success())?;
    let mut buffered = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let mut chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if !buffered.is_empty() {
            buffered.put_slice(&chunk);
            chunk = buffered.split().freeze();
        }
        while let Some(message) = take_message(&mut chunk) {
            settle(&message, pending)?;
        }
        buffered.put_slice(&chunk);
    }
    match body.trailers().await? {
        Some(trailers) => check_status(0, &trailers, true),
        None => Ok(()),
    }
}

/// Hands the `CheckResult` of one `CheckStreamResponse` to whom it belongs.
fn settle(message: &Bytes, pending: &RefCell<Pending>) -> Result<(), LoadError> {
    let result = first_bytes(message, &[1]).unwrap_or_default();
    let id = first_bytes(result, &[1]).and_then(|id| std::str::from_utf8(id).ok());
    let slot = id.and_then(|id| usize::from_str_radix(id, 16).ok()).ok_or_else(|| {
        LoadError::WrongAnswer { request: 0, reason: "the answer carries no id of a request".to_owned() }
    })?;
    pending.borrow_mut().answer(slot, message.slice_ref(result))
}

/// Takes one whole message off the front.
fn take_message(chunk: &mut Bytes) -> Option<Bytes> {
    let length = chunk.get(1..PREFIX).and_then(|length| <[u8; 4]>::try_from(length).ok())?;
    let length = u32::from_be_bytes(length) as usize;
    if chunk.len() < PREFIX + length {
        return None;
    }
    chunk.advance(PREFIX);
    Some(chunk.split_to(length))
}

/// A `CheckStreamRequest` that holds `request` with `slot` as its id, with the gRPC prefix.
fn wrap(request: &[u8], slot: usize) -> Result<Bytes, LoadError> {
    let id = format!("{slot:0ID_LENGTH$x}");
    let inner = request.len() + 2 + id.len();
    let length = u32::try_from(1 + varint_length(inner) + inner)
        .map_err(|_| LoadError::Requests("a request exceeds 4 GiB".to_owned()))?;
    let mut framed = BytesMut::with_capacity(PREFIX + 11 + inner);
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_u8(FIELD_1);
    put_varint(&mut framed, inner);
    framed.put_slice(request);
    framed.put_u8(FIELD_1);
    put_varint(&mut framed, id.len());
    framed.put_slice(id.as_bytes());
    Ok(framed.freeze())
}

fn varint_length(value: usize) -> usize {
    (usize::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_request_carries_its_slot() {
        for size in [0, 1, 117, 118, 300, 70_000] {
            let request = vec![0x12; size & !1];
            let mut framed = wrap(&request, 0x2a).unwrap();
            let message = take_message(&mut framed).unwrap();
            assert!(framed.is_empty());
            assert!(message.ends_with(b"\x0a\x080000002a"));
            assert_eq!(first_bytes(&message, &[1]).unwrap().len(), request.len() + 10);
        }
    }

    #[test]
    fn partial_message_is_left() {
        let mut framed = wrap(b"", 0).unwrap();
        let mut part = framed.split_to(framed.len() - 1);
        assert_eq!(take_message(&mut part), None);
        assert_eq!(take_message(&mut Bytes::from_static(b"\0\0")), None);
    }

    #[test]
    fn slot_is_free_again_after_its_answer() {
        let mut pending = Pending::default();
        let (first, _first_answer) = pending.take_slot().unwrap();
        let (second, _second_answer) = pending.take_slot().unwrap();
        assert_ne!(first, second);
        pending.answer(first, Bytes::new()).unwrap();
        assert!(pending.answer(first, Bytes::new()).is_err());
        assert_eq!(pending.take_slot().unwrap().0, first);
    }
}
