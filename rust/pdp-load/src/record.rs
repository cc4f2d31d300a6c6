//! The requests of a run, encoded ahead of time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{InlineRequest, LoadConfig, Protocol, Requests};
use crate::error::LoadError;
use crate::expect::Expectation;
use crate::grpc::frame;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) body: Bytes,
    pub(crate) expectation: Arc<Expectation>,
}

/// All requests of a run, never empty.
#[derive(Clone, Debug)]
pub(crate) struct Records(Arc<[Record]>);

/// Hands out requests in order, starting over at the end. One per thread.
#[derive(Clone)]
pub(crate) struct Cursor {
    records: Records,
    next: Rc<Cell<usize>>,
}

impl Records {
    /// Reads the requests of `config`.
    pub(crate) fn load(config: &LoadConfig) -> Result<Self, LoadError> {
        let expectations: Vec<Arc<Expectation>> = config.expectations.iter().cloned().map(Arc::new).collect();
        let raw = match &config.requests {
            Requests::File(path) => {
                let file = std::fs::read(path)
                    .map_err(|error| LoadError::Requests(format!("{}: {error}", path.display())))?;
                split(&Bytes::from(file))?
            }
            Requests::Inline(requests) => requests.iter().map(decode).collect::<Result<_, _>>()?,
        };
        let resolve = |(expectation, body): (u16, Bytes)| {
            let expectation = expectations
                .get(usize::from(expectation))
                .cloned()
                .ok_or_else(|| LoadError::Requests(format!("expectation {expectation} does not exist")))?;
            let body = if config.target.protocol == Protocol::Grpc { frame(&body)? } else { body };
            Ok(Record { body, expectation })
        };
        let records: Vec<Record> = raw.into_iter().map(resolve).collect::<Result<_, LoadError>>()?;
        if records.is_empty() {
            return Err(LoadError::Requests("there are none".to_owned()));
        }
        Ok(Self(records.into()))
    }

    /// Request `index`, counted around the end.
    pub(crate) fn get(&self, index: usize) -> Result<&Record, LoadError> {
        let wrapped = index.checked_rem(self.0.len()).unwrap_or(0);
        self.0.get(wrapped).ok_or_else(|| LoadError::Requests("there are none".to_owned()))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A cursor for thread `thread` of `threads`, each starting at its own share.
    pub(crate) fn cursor(&self, thread: usize, threads: usize) -> Cursor {
        let start = (self.len() / threads.max(1)).saturating_mul(thread);
        Cursor { records: self.clone(), next: Rc::new(Cell::new(start)) }
    }
}

impl Cursor {
    /// The next request and its index.
    pub(crate) fn next(&self) -> Result<(usize, Record), LoadError> {
        let index = self.next.get();
        let following = index + 1;
        self.next.set(if following >= self.records.len() { 0 } else { following });
        Ok((index, self.records.get(index)?.clone()))
    }
}

/// Splits a request file into expectation indices and bodies.
fn split(file: &Bytes) -> Result<Vec<(u16, Bytes)>, LoadError> {
    let truncated = || LoadError::Requests("the file is truncated".to_owned());
    let mut records = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let head =
            file.get(at..at + 6).and_then(|head| <[u8; 6]>::try_from(head).ok()).ok_or_else(truncated)?;
        let [e0, e1, l0, l1, l2, l3] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let (start, end) = (at + 6, at + 6 + length);
        if end > file.len() {
            return Err(truncated());
        }
        records.push((u16::from_le_bytes([e0, e1]), file.slice(start..end)));
        at = end;
    }
    Ok(records)
}

fn decode(request: &InlineRequest) -> Result<(u16, Bytes), LoadError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = request.body_hex.as_bytes().as_chunks::<2>();
    let body: Option<Vec<u8>> =
        pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    match body {
        Some(body) if rest.is_empty() => Ok((request.expectation, body.into())),
        _ => Err(LoadError::Requests("`body_hex` is not hexadecimal".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_split_at_lengths() {
        let file = Bytes::from_static(&[1, 0, 2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 0, 0]);
        let records = split(&file).unwrap();
        assert_eq!(records, vec![(1, Bytes::from_static(b"ab")), (0, Bytes::new())]);
    }

    #[test]
    fn truncated_file_is_refused() {
        assert!(split(&Bytes::from_static(&[0, 0, 2, 0, 0, 0, b'a'])).is_err());
        assert!(split(&Bytes::from_static(&[0, 0, 2])).is_err());
    }

    #[test]
    fn hexadecimal_must_be_whole() {
        let request = |text: &str| InlineRequest { body_hex: text.to_owned(), expectation: 0 };
        assert_eq!(decode(&request("0aFF")).unwrap().1, Bytes::from_static(&[0x0a, 0xff]));
        assert!(decode(&request("0a0")).is_err());
        assert!(decode(&request("zz")).is_err());
    }
}
