//! Space-Saving with fading: the most frequent names of a stream in bounded memory.
//!
//! A. Metwally, D. Agrawal, A. El Abbadi, "Efficient Computation of Frequent and Top-k Elements in
//! Data Streams", ICDT 2005. A name that is not held takes the place of the one with the least
//! count and inherits that count as its possible error. Fading halves every count, upwards for the
//! upper bound and downwards for the lower one, so that both stay bounds of the faded true count.

use ahash::RandomState;
use hashbrown::HashTable;

/// One request; counts are in fractions of it, so that fading loses nothing that matters.
pub(super) const UNIT: u64 = 1 << 16;

/// Longest name kept, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// Bytes kept of a name that is longer; a digest of the whole follows.
const CUT_BYTES: usize = 232;

#[derive(Debug)]
struct Slot {
    hash: u64,
    name: Vec<u8>,
    /// The true count is at most this.
    upper: u64,
    /// The true count is at least this.
    lower: u64,
    refused: u64,
    /// Where the heap holds it.
    place: usize,
}

/// The bounds of one name's count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) name: Vec<u8>,
    pub(super) upper: u64,
    pub(super) lower: u64,
    pub(super) refused: u64,
}

/// The most frequent names of one kind.
///
/// INVARIANT: `heap` holds every slot once, a parent's `upper` never above its children's;
/// `index` finds each slot by its name.
#[derive(Debug)]
pub(super) struct Sketch {
    most: usize,
    hasher: RandomState,
    index: HashTable<usize>,
    slots: Vec<Slot>,
    heap: Vec<usize>,
    /// Half-lives that have passed.
    faded: u64,
}

impl Sketch {
    /// Holds at most `most` names, at least one.
    pub(super) fn new(most: usize, hasher: RandomState) -> Self {
        let most = most.max(1);
        let (index, slots, heap) = (HashTable::new(), Vec::new(), Vec::new());
        Self { most, hasher, index, slots, heap, faded: 0 }
    }

    /// Halves the counts for each half-life up to number `now`; time that goes back changes nothing.
    pub(super) fn fade(&mut self, now: u64) {
        let times = u32::try_from(now.saturating_sub(self.faded)).unwrap_or(u32::MAX).min(63);
        if times == 0 {
            return;
        }
        self.faded = now;
        for slot in &mut self.slots {
            // Both are monotone, so the heap keeps its order.
            slot.upper = slot.upper.div_ceil(1 << times);
            slot.lower >>= times;
            slot.refused >>= times;
        }
    }

    /// Counts a request of `name`.
    pub(super) fn record(&mut self, name: &[u8], refused: bool) {
        if name.len() > MAX_NAME_BYTES {
            let cut = cut(name, self.hasher.hash_one(name));
            self.record(&cut, refused);
            return;
        }
        let hash = self.hasher.hash_one(name);
        let found = self.index.find(hash, |at| self.slots.get(*at).is_some_and(|slot| slot.name == name));
        let at = match found {
            Some(at) => *at,
            None => self.admit(hash, name),
        };
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.upper = slot.upper.saturating_add(UNIT);
        slot.lower = slot.lower.saturating_add(UNIT);
        slot.refused = slot.refused.saturating_add(u64::from(refused) * UNIT);
        let place = slot.place;
        self.sink(place);
    }

    /// A slot for a new name: a free one, or that of the name with the least count.
    fn admit(&mut self, hash: u64, name: &[u8]) -> usize {
        let at = if self.slots.len() < self.most {
            let at = self.slots.len();
            let place = self.heap.len();
            self.slots.push(Slot { hash, name: name.to_vec(), upper: 0, lower: 0, refused: 0, place });
            self.heap.push(at);
            self.rise(place);
            at
        } else {
            let least = self.heap.first().copied().unwrap_or_default();
            if let Some(slot) = self.slots.get_mut(least) {
                if let Ok(entry) = self.index.find_entry(slot.hash, |at| *at == least) {
                    entry.remove();
                }
                slot.hash = hash;
                // The buffer stays, so that a flood of new names allocates nothing.
                slot.name.clear();
                slot.name.extend_from_slice(name);
                (slot.lower, slot.refused) = (0, 0);
            }
            least
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |at| slots.get(*at).map_or(0, |slot| slot.hash));
        at
    }

    fn upper(&self, place: usize) -> Option<u64> {
        self.slots.get(*self.heap.get(place)?).map(|slot| slot.upper)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            if let Some(slot) = self.heap.get(place).and_then(|at| self.slots.get_mut(*at)) {
                slot.place = place;
            }
        }
    }

    fn sink(&mut self, mut place: usize) {
        while let Some(own) = self.upper(place) {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let counts = children.filter_map(|child| Some((self.upper(child)?, child)));
            match counts.min() {
                Some((least, child)) if least < own => {
                    self.swap(place, child);
                    place = child;
                }
                _ => return,
            }
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.upper(place) < self.upper((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    /// At most how often any name was seen that is not held.
    pub(super) fn unseen(&self) -> u64 {
        if self.slots.len() < self.most { 0 } else { self.upper(0).unwrap_or_default() }
    }

    /// All counts, in no order.
    pub(super) fn counts(&self) -> impl Iterator<Item = Count> + '_ {
        self.slots.iter().map(|slot| Count {
            name: slot.name.clone(),
            upper: slot.upper,
            lower: slot.lower,
            refused: slot.refused,
        })
    }
}

/// The beginning of a long name, whole characters, and a digest of all of it: two long names stay two.
fn cut(name: &[u8], digest: u64) -> Vec<u8> {
    let head = name.get(..CUT_BYTES).unwrap_or(name);
    let whole = match std::str::from_utf8(head) {
        Ok(_) => head.len(),
        // A character that the cut went through; bytes that are no text stay as they are.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => head.len(),
    };
    let mut cut = head.get(..whole).unwrap_or(head).to_vec();
    cut.extend_from_slice(format!("…#{digest:016x}").as_bytes());
    cut
}
