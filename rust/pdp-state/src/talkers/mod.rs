//! Top talkers: who asks most of this node, by tenant, function, source network and limit key.
//!
//! Each request thread has sketches of its own, behind a lock that only a reader ever contends for;
//! reading adds them up. Counts fade by half every half-life, so that the list speaks of lately.

mod sketch;
mod summary;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use ahash::RandomState;

use self::sketch::Sketch;
use self::summary::Summary;

/// What a talker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TalkerKind {
    /// A tenant, by id.
    Tenant,
    /// A function, by id.
    Function,
    /// A source network: /24 of IPv4, /64 of IPv6.
    Network,
    /// A key of a limit.
    LimitKey,
}

impl TalkerKind {
    /// All kinds, in their order.
    pub const ALL: [Self; 4] = [Self::Tenant, Self::Function, Self::Network, Self::LimitKey];

    /// The kind's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Function => "function",
            Self::Network => "network",
            Self::LimitKey => "limit_key",
        }
    }
}

/// Bounds of [`Talkers`].
#[derive(Clone, Copy, Debug)]
pub struct TalkerOptions {
    /// Names held of each kind by each thread. Default 256.
    pub most: usize,
    /// Time after which a request counts half. Default 30 s.
    pub half_life: Duration,
}

impl Default for TalkerOptions {
    fn default() -> Self {
        Self { most: 256, half_life: Duration::from_secs(30) }
    }
}

/// One who asks much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talker {
    /// What it is.
    pub kind: TalkerKind,
    /// Its name, without control characters; of a limit key `policy/limit key`.
    pub name: String,
    /// Requests, at most; fading.
    pub requests: u64,
    /// How much lower the true number may be.
    pub error: u64,
    /// How many of these a limit refused, at least.
    pub refused: u64,
}

/// A request, as far as it says who talks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sighting<'a> {
    /// Its tenant.
    pub tenant: Option<&'a str>,
    /// The function it is asked for.
    pub function: Option<&'a str>,
    /// Where it comes from; text that is no address is nobody.
    pub source: Option<&'a str>,
    /// Whether a limit refused it.
    pub refused: bool,
}

/// A limit that a request was counted under.
#[derive(Clone, Copy, Debug)]
pub struct LimitSighting<'a> {
    /// Policy that owns the limit.
    pub policy_id: &'a str,
    /// The limit's name.
    pub limit: &'a str,
    /// Key the request counted under.
    pub key: &'a str,
    /// Whether this limit refused it.
    pub refused: bool,
}

/// The sketches of all threads.
#[derive(Debug)]
pub struct Talkers {
    options: TalkerOptions,
    hasher: RandomState,
    began: Instant,
    since: SystemTime,
    threads: Mutex<Vec<Weak<ThreadTalkers>>>,
}

/// One thread's sketches. On cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub struct ThreadTalkers {
    began: Instant,
    half_life: Duration,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    kinds: [Sketch; 4],
    /// Where a limit key's name is put together.
    name: Vec<u8>,
}

impl Talkers {
    /// Nobody has talked yet. `now` and `since` are the same moment.
    #[must_use]
    pub fn new(options: TalkerOptions, now: Instant, since: SystemTime) -> Self {
        Self { options, hasher: RandomState::new(), began: now, since, threads: Mutex::default() }
    }

    /// Since when requests are counted.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Sketches for a thread; they count for as long as the thread holds them.
    #[must_use]
    pub fn register(&self) -> Arc<ThreadTalkers> {
        let kinds = TalkerKind::ALL.map(|_| Sketch::new(self.options.most, self.hasher.clone()));
        let held = Mutex::new(Held { kinds, name: Vec::new() });
        let half_life = self.options.half_life.max(Duration::from_millis(1));
        let thread = Arc::new(ThreadTalkers { began: self.began, half_life, held });
        let mut threads = locked(&self.threads);
        threads.retain(|thread| thread.strong_count() > 0);
        threads.push(Arc::downgrade(&thread));
        thread
    }

    /// The busiest `most` of each kind, by kind.
    #[must_use]
    pub fn top(&self, most: usize, now: Instant) -> Vec<Talker> {
        let threads: Vec<_> = locked(&self.threads).iter().filter_map(Weak::upgrade).collect();
        let mut top = Vec::new();
        for kind in TalkerKind::ALL {
            let parts = threads.iter().filter_map(|thread| thread.summary(kind, now));
            top.extend(parts.reduce(Summary::merge).unwrap_or_default().top(kind, most));
        }
        top
    }
}

impl ThreadTalkers {
    /// Counts a request, and the limits it was counted under.
    pub fn see<'a>(
        &self,
        now: Instant,
        sighting: &Sighting<'_>,
        limits: impl IntoIterator<Item = LimitSighting<'a>>,
    ) {
        let faded = self.half_lives(now);
        let mut held = locked(&self.held);
        let Held { kinds: [tenants, functions, networks, keys], name } = &mut *held;
        for (sketch, seen) in [(tenants, sighting.tenant), (functions, sighting.function)] {
            if let Some(id) = seen {
                sketch.fade(faded);
                sketch.record(id.as_bytes(), sighting.refused);
            }
        }
        if let Some(address) = sighting.source.and_then(|text| text.parse().ok()) {
            networks.fade(faded);
            let (octets, length) = network(address);
            networks.record(octets.get(..length).unwrap_or_default(), sighting.refused);
        }
        for limit in limits {
            keys.fade(faded);
            name.clear();
            let parts = [limit.policy_id, "/", limit.limit, " ", limit.key];
            parts.iter().for_each(|part| name.extend_from_slice(part.as_bytes()));
            keys.record(name, limit.refused);
            // A long key must not hold its memory for good.
            name.shrink_to(1_024);
        }
    }

    fn half_lives(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began).as_nanos() / self.half_life.as_nanos().max(1);
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    fn summary(&self, kind: TalkerKind, now: Instant) -> Option<Summary> {
        let faded = self.half_lives(now);
        let mut held = locked(&self.held);
        let sketch = held.kinds.get_mut(kind as usize)?;
        sketch.fade(faded);
        Some(Summary::of(sketch))
    }
}

/// The network of an address, as the bytes it is counted under: 3 of IPv4, 8 of IPv6.
fn network(address: IpAddr) -> ([u8; 8], usize) {
    let mut network = [0; 8];
    let length = match address.to_canonical() {
        IpAddr::V4(v4) => {
            network.iter_mut().zip(v4.octets()).take(3).for_each(|(to, from)| *to = from);
            3
        }
        IpAddr::V6(v6) => {
            network.iter_mut().zip(v6.octets()).for_each(|(to, from)| *to = from);
            8
        }
    };
    (network, length)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
