//! Usage tokens: what a decision spent, signed, so that a later report can settle it on any node.
//!
//! A token is a version, the rows, and a keyed MAC over both (HMAC-SHA256, RFC 2104). Whoever holds
//! one may settle what it names once, and nothing else; it is no secret from the caller it is given to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pdp_engine::Text;
use pdp_engine::limit::Usage;
use ring::hmac;
use ring::rand::SystemRandom;
use uuid::Uuid;

use crate::state::StateError;

/// Bytes of a token, at most.
const MAX_TOKEN_BYTES: usize = 4_096;
/// First byte of a token; another form of rows gets another.
const VERSION: u8 = 1;
/// Bytes of the MAC.
const MAC_BYTES: usize = 32;
/// Separates this use of a key secret from any other.
const PURPOSE: &[u8] = b"pdp usage token v1";

/// Signs and checks usage tokens.
#[derive(Clone)]
pub(crate) struct UsageKey(hmac::Key);

impl UsageKey {
    /// A key that every node with the same secret has.
    pub(crate) fn derived(secret: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// A key of this process alone.
    pub(crate) fn random() -> Result<Self, StateError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        key.map(Self).map_err(|_| StateError::Random)
    }

    /// The token of `rows`, which are those of one request; `None` where it would be too large.
    pub(crate) fn sign(&self, rows: &[Usage]) -> Option<Vec<u8>> {
        let first = rows.first()?;
        let mut out = Writer(Vec::with_capacity(256));
        out.0.push(VERSION);
        out.0.extend(first.holder.as_bytes());
        out.number(nanoseconds(first.spent_at));
        out.option(first.tenant.as_deref());
        for row in rows {
            // What one request spends has one holder, time and tenant, or cannot be named by one token.
            let same = row.holder == first.holder && row.tenant == first.tenant;
            if !same || row.definition.is_some() {
                return None;
            }
            out.text(&row.policy_id);
            out.text(&row.limit);
            out.text(&row.key);
            out.number(row.hits);
            out.0.push(row.held.into());
        }
        if out.0.len() + MAC_BYTES > MAX_TOKEN_BYTES {
            return None;
        }
        let mac = hmac::sign(&self.0, &out.0);
        out.0.extend(mac.as_ref());
        Some(out.0)
    }

    /// The rows of a token; `None` for one that this key did not sign.
    pub(crate) fn open(&self, token: &[u8]) -> Option<Vec<Usage>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        // Compares in constant time.
        hmac::verify(&self.0, signed, mac).ok()?;
        let mut reader = Reader(signed);
        if reader.take(1)? != [VERSION] {
            return None;
        }
        let holder = Uuid::from_slice(reader.take(16)?).ok()?;
        let spent_at = UNIX_EPOCH.checked_add(Duration::from_nanos(reader.number()?))?;
        let tenant = reader.option()?;
        let mut rows = Vec::new();
        while !reader.0.is_empty() {
            rows.push(Usage {
                policy_id: reader.text()?,
                limit: reader.text()?,
                tenant: tenant.clone(),
                key: reader.text()?,
                hits: reader.number()?,
                spent_at,
                holder,
                held: reader.take(1)? == [1],
                definition: None,
            });
        }
        Some(rows)
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

struct Writer(Vec<u8>);

impl Writer {
    /// Seven bits a byte, lowest first (LEB128).
    fn number(&mut self, mut number: u64) {
        loop {
            let low = u8::try_from(number & 0x7f).unwrap_or_default();
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn option(&mut self, text: Option<&str>) {
        self.0.push(text.is_some().into());
        if let Some(text) = text {
            self.text(text);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok().map(Text::from)
    }

    fn option(&mut self) -> Option<Option<Text>> {
        match self.take(1)? {
            [0] => Some(None),
            [1] => self.text().map(Some),
            _ => None,
        }
    }
}
