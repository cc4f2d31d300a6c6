//! Names of keys in the store: keyed hashes, so that none tells who was counted.
//!
//! A counter's name hashes what names it in memory: policy, limit, kind of algorithm, window, tenant
//! (where each tenant has its own) and key. The part in braces, the tag, decides the slot on a Cluster:
//! counters of one tenant share it.

use pdp_engine::limit::{Algorithm, CounterName, LimitDemand, Scope};
use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

/// Begins every key; the number is the version of the layout.
pub const PREFIX: &str = "pdp:1:";
/// Sorted set of the nodes by when they were last seen, in microseconds.
pub const NODES: &str = "pdp:1:nodes";
/// Random bytes that nodes hash with where none are configured.
pub const SALT: &str = "pdp:1:salt";

/// Characters of a tag.
const TAG: usize = 11;
/// Characters of a name's hash.
const HASH: usize = 22;
/// Bytes of a whole key.
const LENGTH: usize = PREFIX.len() + TAG + 2 + 3 + HASH;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// State of a counter.
    Counter,
    /// What is held of a concurrency limit.
    Held,
    /// What a request was told, or that it was settled.
    Replay,
    /// A fact.
    Fact,
}

impl KeyKind {
    fn letter(self) -> u8 {
        match self {
            Self::Counter => b'c',
            Self::Held => b'h',
            Self::Replay => b'r',
            Self::Fact => b'f',
        }
    }
}

/// Which keys lie together on a Cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u64);

/// A key of the store: `pdp:1:{tag}:kind:hash`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; LENGTH]);

impl Key {
    /// Bytes of every key.
    pub const LENGTH: usize = LENGTH;

    /// The key of these bytes, where they are as many as a key has.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, all of them ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its slot on a Cluster.
    #[must_use]
    pub fn slot(&self) -> u16 {
        let from = PREFIX.len() + 1;
        slot(self.0.get(from..from + TAG).unwrap_or_default())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// Hashes names. Nodes with the same secret agree on them.
#[derive(Clone)]
pub struct Names {
    hasher: SipHasher24,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Names(<hidden>)")
    }
}

impl Names {
    /// Names under a secret of any length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let digest = Sha256::digest(secret);
        let mut key = [0; 16];
        key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { hasher: SipHasher24::new_with_key(&key) }
    }

    /// Where a counter lies.
    pub(crate) fn counter(&self, counter: &CounterName<'_>) -> (Tag, Key) {
        let limit = counter.limit;
        let tenant = tenant(counter);
        let mut hash = Hash::new(self, b'c');
        hash.text(counter.policy_id).text(&limit.name).text(counter.key);
        hash.optional(tenant).number(u64::try_from(limit.window.as_nanos()).unwrap_or(u64::MAX));
        hash.byte(kind(limit.algorithm));
        if let Algorithm::Quota(calendar) = limit.algorithm {
            hash.text(calendar.period.name()).text(calendar.zone.name());
        }
        let (low, high) = hash.finish();
        let tag = match limit.scope {
            Scope::Tenant => self.tenant_tag(counter.tenant),
            Scope::Estate => Tag(low ^ high.rotate_left(32)),
        };
        let held = matches!(limit.algorithm, Algorithm::Concurrency);
        (tag, key(tag, if held { KeyKind::Held } else { KeyKind::Counter }, low, high))
    }

    /// The tag of what belongs to a tenant.
    pub fn tenant_tag(&self, tenant: Option<&str>) -> Tag {
        let mut hash = Hash::new(self, b't');
        hash.optional(tenant);
        Tag(hash.finish().0)
    }

    /// The key of something else, named by its parts.
    pub fn key(&self, tag: Tag, kind: KeyKind, parts: &[&str]) -> Key {
        let mut hash = Hash::new(self, kind.letter());
        parts.iter().for_each(|part| {
            hash.text(part);
        });
        let (low, high) = hash.finish();
        key(tag, kind, low, high)
    }

    /// What a request id with its demands is remembered by, in the tag it was spent under.
    pub(crate) fn request(&self, request_id: &str, demands: &[LimitDemand<'_>], keys: &[Key]) -> Replay {
        let mut hash = Hash::new(self, b'i');
        hash.text(request_id);
        for (demand, key) in demands.iter().zip(keys) {
            hash.bytes(key.as_bytes()).number(demand.hits).byte(u8::from(demand.peek));
        }
        Replay(hash.finish())
    }

    /// What a settlement is remembered by.
    pub(crate) fn settlement(&self, holder: uuid::Uuid) -> Replay {
        let mut hash = Hash::new(self, b's');
        hash.bytes(holder.as_bytes());
        Replay(hash.finish())
    }
}

/// The name of a request or a settlement, whatever the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replay((u64, u64));

impl Replay {
    pub(crate) fn key(self, tag: Tag) -> Key {
        key(tag, KeyKind::Replay, self.0.0, self.0.1)
    }
}

/// A hash over parts, each with its length.
struct Hash(SipHasher24);

impl Hash {
    fn new(names: &Names, domain: u8) -> Self {
        let mut hash = Self(names.hasher);
        hash.byte(domain);
        hash
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.write(&[byte]);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.write(&number.to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        self.byte(u8::from(text.is_some()));
        self.text(text.unwrap_or_default())
    }

    fn finish(&self) -> (u64, u64) {
        let hash = self.0.finish128();
        (hash.h1, hash.h2)
    }
}

/// The tenant, where it is part of the name.
fn tenant<'a>(counter: &CounterName<'a>) -> Option<&'a str> {
    match counter.limit.scope {
        Scope::Tenant => counter.tenant,
        Scope::Estate => None,
    }
}

fn kind(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Gcra { .. } => 0,
        Algorithm::FixedWindow => 1,
        Algorithm::SlidingWindow => 2,
        Algorithm::Quota(_) => 3,
        Algorithm::Concurrency => 4,
    }
}

fn key(tag: Tag, kind: KeyKind, low: u64, high: u64) -> Key {
    let mut bytes = [b'{'; LENGTH];
    let mut at = bytes.iter_mut();
    let mut put = |byte: u8| {
        if let Some(to) = at.next() {
            *to = byte;
        }
    };
    PREFIX.bytes().for_each(&mut put);
    put(b'{');
    digits::<TAG>(u128::from(tag.0), &mut put);
    [b'}', b':', kind.letter(), b':'].into_iter().for_each(&mut put);
    digits::<HASH>((u128::from(high) << 64) | u128::from(low), &mut put);
    Key(bytes)
}

/// Writes a number in base 64 with the letters of URLs, `N` digits.
fn digits<const N: usize>(mut number: u128, put: &mut impl FnMut(u8)) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for _ in 0..N {
        let digit = usize::try_from(number & 63).unwrap_or(0);
        put(LETTERS.get(digit).copied().unwrap_or(b'A'));
        number >>= 6;
    }
}

/// The slot of a tag, or of a key without one: CRC-16/XMODEM modulo 16384 (Redis Cluster specification, "Key distribution model").
pub(super) fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0u16, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16384
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pdp_engine::limit::Limit;

    use super::*;

    fn name(names: &Names, change: impl Fn(&mut Limit), tenant: Option<&str>, key: &str) -> (Tag, Key) {
        let mut limit = Limit::new("calls", Algorithm::Gcra { burst: 5 }, 10, Duration::from_secs(1));
        change(&mut limit);
        let policy_id: Arc<str> = "p".into();
        names.counter(&CounterName { policy_id: &policy_id, limit: &limit, tenant, key })
    }

    #[test]
    fn a_key_says_nothing_of_the_caller_and_is_one_of_the_documented_form() {
        let (_, key) = name(&Names::new(b"secret"), |_| (), Some("acme"), "alice{}\r\n@example.com");
        let text = format!("{key:?}");
        assert_eq!(text.len(), 44);
        assert!(text.starts_with("pdp:1:{") && text.get(18..22) == Some("}:c:"), "{text}");
        assert!(!text.contains("alice") && !text.contains("acme") && !text.contains('\n'));
    }

    #[test]
    fn the_name_holds_what_names_a_counter_and_not_what_a_change_may_keep() {
        let names = Names::new(b"secret");
        let first = name(&names, |_| (), None, "k");
        assert_eq!(first, name(&Names::new(b"secret"), |_| (), None, "k"));
        assert_eq!(first, name(&names, |it| it.limit = 99, None, "k"));
        assert_eq!(first, name(&names, |it| it.algorithm = Algorithm::Gcra { burst: 1 }, None, "k"));
        assert_ne!(first.1, name(&Names::new(b"other"), |_| (), None, "k").1);
        assert_ne!(first.1, name(&names, |_| (), Some(""), "k").1);
        assert_ne!(first.1, name(&names, |_| (), None, "l").1);
        assert_ne!(first.1, name(&names, |it| it.window = Duration::from_secs(2), None, "k").1);
        assert_ne!(first.1, name(&names, |it| it.algorithm = Algorithm::FixedWindow, None, "k").1);
        assert_ne!(first.1, name(&names, |it| it.name = "call".into(), None, "sk").1);
    }

    #[test]
    fn counters_of_a_tenant_share_a_tag_and_those_of_the_estate_do_not() {
        let names = Names::new(b"secret");
        let tenant = |key| name(&names, |_| (), Some("acme"), key).0;
        assert_eq!(tenant("a"), tenant("b"));
        assert_eq!(tenant("a"), names.tenant_tag(Some("acme")));
        let estate = |key| name(&names, |it| it.scope = Scope::Estate, Some("acme"), key).0;
        assert_ne!(estate("a"), estate("b"));
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
    }
}
