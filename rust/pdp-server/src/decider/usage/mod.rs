//! Usage tokens: what a decision spent, signed, so that a later report can settle it on any node.
//!
//! A token is a version, the rows, and a keyed MAC over both (HMAC-SHA256, RFC 2104). Whoever holds
//! one may settle what it names once, and nothing else; it is no secret from the caller it is given to.

mod codec;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pdp_engine::limit::Usage;
use ring::hmac;
use ring::rand::SystemRandom;
use uuid::Uuid;

use self::codec::{Reader, Writer};
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
        out.option(first.tenant.as_deref());
        let mut last = None;
        for row in rows {
            // Rows mostly share these: they are written where they change.
            let shared = (row.holder, nanoseconds(row.spent_at));
            out.flag(last != Some(shared));
            if last != Some(shared) {
                out.0.extend(shared.0.as_bytes());
                out.number(shared.1);
                last = Some(shared);
            }
            out.text(&row.policy_id);
            out.text(&row.limit);
            out.text(&row.key);
            out.number(row.hits);
            out.flag(row.held);
            out.flag(row.definition.is_some());
            if let Some(limit) = &row.definition {
                out.limit(limit);
            }
        }
        if out.0.len() + MAC_BYTES > MAX_TOKEN_BYTES {
            return None;
        }
        let mac = hmac::sign(&self.0, &out.0);
        out.0.extend(mac.as_ref());
        Some(out.0)
    }

    /// The rows of a token, at least one; `None` for one that this key did not sign.
    pub(crate) fn open(&self, token: &[u8]) -> Option<Vec<Usage>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        // Compares in constant time.
        hmac::verify(&self.0, signed, mac).ok()?;
        rows(Reader(signed)).filter(|rows| !rows.is_empty())
    }
}

fn rows(mut reader: Reader<'_>) -> Option<Vec<Usage>> {
    if reader.take(1)? != [VERSION] {
        return None;
    }
    let tenant = reader.option()?;
    let (mut holder, mut spent_at) = (Uuid::nil(), UNIX_EPOCH);
    let mut rows = Vec::new();
    while !reader.0.is_empty() {
        if reader.flag()? {
            holder = Uuid::from_slice(reader.take(16)?).ok()?;
            spent_at = UNIX_EPOCH.checked_add(Duration::from_nanos(reader.number()?))?;
        }
        let (policy_id, limit, key) = (reader.text()?, reader.text()?, reader.text()?);
        let (hits, held) = (reader.number()?, reader.flag()?);
        let definition = if reader.flag()? { Some(reader.limit(&limit)?) } else { None };
        let tenant = tenant.clone();
        rows.push(Usage { policy_id, limit, tenant, key, hits, spent_at, holder, held, definition });
    }
    Some(rows)
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    use pdp_engine::limit::{Algorithm, Calendar, Counting, Limit, Outage, Period, Scope};

    fn row(limit: &str, holder: u128, definition: Option<Limit>) -> Usage {
        Usage {
            policy_id: "shop.limits".into(),
            limit: limit.into(),
            tenant: Some("acme".into()),
            key: "3:ada;".into(),
            hits: 300,
            spent_at: UNIX_EPOCH + Duration::from_nanos(1_800_000_000_123_456_789),
            holder: Uuid::from_u128(holder),
            held: definition.is_none(),
            definition,
        }
    }

    fn limits() -> Vec<Limit> {
        let quota = Calendar { period: Period::Month, zone: "Europe/Berlin".parse().unwrap() };
        let algorithms = [
            Algorithm::Gcra { burst: 7 },
            Algorithm::FixedWindow,
            Algorithm::SlidingWindow,
            Algorithm::Quota(quota),
            Algorithm::Concurrency,
        ];
        let limit = |algorithm| Limit {
            counting: Counting::Leased { most: 5 },
            scope: Scope::Estate,
            outage: Outage::Allow,
            ..Limit::new("l", algorithm, 1_000, Duration::from_secs(3_600))
        };
        algorithms.into_iter().map(limit).collect()
    }

    fn samples() -> Vec<Usage> {
        let mut rows = vec![row("per-minute", 1, None), row("per-day", 1, None), row("open", 2, None)];
        rows.extend(limits().into_iter().map(|limit| row("l", 2, Some(limit))));
        rows
    }

    #[test]
    fn token_says_what_was_spent() {
        let key = UsageKey::random().unwrap();
        let token = key.sign(&samples()).unwrap();
        assert_eq!(key.open(&token).unwrap(), samples());
        let mut plain = samples();
        plain.iter_mut().for_each(|row| row.tenant = None);
        assert_eq!(key.open(&key.sign(&plain).unwrap()).unwrap(), plain);
        assert!(key.sign(&[]).is_none());
    }

    #[test]
    fn nodes_with_one_secret_read_each_other_and_no_others() {
        let token = UsageKey::derived(&[7; 32]).sign(&samples()).unwrap();
        assert!(UsageKey::derived(&[7; 32]).open(&token).is_some());
        assert!(UsageKey::derived(&[8; 32]).open(&token).is_none());
        assert!(UsageKey::random().unwrap().open(&token).is_none());
    }

    #[test]
    fn any_change_of_a_token_spoils_it() {
        let key = UsageKey::random().unwrap();
        let token = key.sign(&samples()).unwrap();
        for at in 0..token.len() {
            let mut forged = token.clone();
            forged[at] ^= 1;
            assert!(key.open(&forged).is_none(), "byte {at}");
            assert!(key.open(&token[..at]).is_none(), "{at} bytes");
        }
        assert!(key.open(&[token, vec![0]].concat()).is_none());
        assert!(key.open(&vec![1; 1 << 20]).is_none());
    }

    #[test]
    fn signed_bytes_of_another_form_are_refused() {
        let key = UsageKey::random().unwrap();
        let sign = |bytes: &[u8]| [bytes, hmac::sign(&key.0, bytes).as_ref()].concat();
        for bytes in [&b""[..], b"\x02\x00", b"\x01", b"\x01\x00", b"\x01\x00\x01abc", b"\x01\x09"] {
            assert!(key.open(&sign(bytes)).is_none(), "{bytes:?}");
        }
        assert!(key.open(&sign(&[&[1, 0][..], &[0xff; 40]].concat())).is_none());
    }

    #[test]
    fn token_past_its_bound_is_not_made() {
        let key = UsageKey::random().unwrap();
        let long = Usage { key: "k".repeat(MAX_TOKEN_BYTES).into(), ..row("l", 1, None) };
        assert!(key.sign(&[long]).is_none());
    }
}
