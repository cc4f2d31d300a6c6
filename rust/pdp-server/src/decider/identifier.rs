//! Decision ids: UUIDv7 (RFC 9562 section 5.7), strictly ascending per source.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// Bits after the time: 12 of `rand_a` and 62 of `rand_b`.
const RANDOM_BITS: u32 = 74;

/// Makes ids without a system call or a lock; one per thread.
///
/// Within one millisecond the random part grows by a random step (RFC 9562
/// section 6.2, method 2). Ids are names, not secrets.
#[derive(Debug)]
pub(crate) struct IdentifierSource {
    milliseconds: u64,
    random: u128,
    state: u64,
}

impl IdentifierSource {
    /// A source seeded by the system.
    pub(crate) fn new() -> Self {
        let (high, low) = Uuid::now_v7().as_u64_pair();
        Self { milliseconds: 0, random: 0, state: high.rotate_left(32) ^ low }
    }

    /// The next id. A clock that steps back is held at its highest reading.
    pub(crate) fn next(&mut self, now: SystemTime) -> Uuid {
        let elapsed = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let milliseconds = u64::try_from(elapsed).unwrap_or(u64::MAX);
        if milliseconds > self.milliseconds {
            self.restart(milliseconds);
        } else {
            self.random += 1 + u128::from(self.draw() >> 32);
            if self.random >> RANDOM_BITS != 0 {
                self.restart(self.milliseconds + 1);
            }
        }
        self.id()
    }

    /// Draws the random part anew, with its highest bit clear so that it can grow.
    fn restart(&mut self, milliseconds: u64) {
        self.milliseconds = milliseconds;
        let drawn = (u128::from(self.draw()) << 64) | u128::from(self.draw());
        self.random = drawn & ((1 << (RANDOM_BITS - 1)) - 1);
    }

    fn id(&self) -> Uuid {
        // The builder takes 80 bits and overwrites six of them with version and
        // variant, so `rand_a` and `rand_b` are put where they survive.
        let rand_a = (self.random >> 62) & 0xfff;
        let rand_b = self.random & ((1 << 62) - 1);
        let bits = (rand_a << 64) | rand_b;
        let mut bytes = [0; 10];
        for (byte, source) in bytes.iter_mut().zip(bits.to_be_bytes().iter().skip(6)) {
            *byte = *source;
        }
        Builder::from_unix_timestamp_millis(self.milliseconds, &bytes).into_uuid()
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ids_ascend_even_when_the_clock_steps_back() {
        let mut source = IdentifierSource::new();
        let start = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let times = (0..20_000u64).map(|step| start + Duration::from_micros((step * 37) % 5_000));
        let ids: Vec<Uuid> = times.map(|now| source.next(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
    }

    #[test]
    fn full_random_part_moves_to_the_next_millisecond() {
        let mut source = IdentifierSource::new();
        let now = UNIX_EPOCH + Duration::from_millis(5);
        let first = source.next(now);
        source.random = (1 << RANDOM_BITS) - 1;
        let last = source.id();
        let next = source.next(now);
        assert!(first < last && last < next);
    }

    #[test]
    fn sources_do_not_repeat_each_other() {
        let now = SystemTime::now();
        assert_ne!(IdentifierSource::new().next(now), IdentifierSource::new().next(now));
    }
}
