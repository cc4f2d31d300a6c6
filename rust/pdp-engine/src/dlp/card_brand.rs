//! Issuer identification ranges and number lengths of payment card brands.
//!
//! Left out on purpose: UATP (`1`, 15 digits), whose range takes in timestamps in microseconds.

use std::ops::RangeInclusive;

/// Numbers whose first `prefix_len` digits lie in `first..=last`.
#[derive(Debug)]
pub(super) struct Brand {
    pub(super) prefix_len: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) lengths: &'static [usize],
    /// Whether the range is too wide to go by without a word such as `card` before the number.
    pub(super) needs_word: bool,
}

const fn brand(prefix_len: u32, range: RangeInclusive<u32>, lengths: &'static [usize]) -> Brand {
    Brand { prefix_len, first: *range.start(), last: *range.end(), lengths, needs_word: false }
}

const fn wide(prefix_len: u32, range: RangeInclusive<u32>, lengths: &'static [usize]) -> Brand {
    Brand { needs_word: true, ..brand(prefix_len, range, lengths) }
}

const FROM_12: &[usize] = &[12, 13, 14, 15, 16, 17, 18, 19];
const FROM_14: &[usize] = &[14, 15, 16, 17, 18, 19];
const FROM_16: &[usize] = &[16, 17, 18, 19];

/// Ranges may overlap: a number belongs to any of them.
pub(super) static BRANDS: &[Brand] = &[
    // Visa
    brand(1, 4..=4, &[13, 16, 19]),
    // Mastercard
    brand(2, 51..=55, &[16]),
    brand(4, 2221..=2720, &[16]),
    // American Express
    brand(2, 34..=34, &[15]),
    brand(2, 37..=37, &[15]),
    // Discover
    brand(4, 6011..=6011, FROM_16),
    brand(3, 644..=649, FROM_16),
    brand(2, 65..=65, FROM_16),
    // Diners Club
    brand(3, 300..=305, FROM_14),
    brand(4, 3095..=3095, FROM_14),
    brand(2, 36..=36, FROM_14),
    brand(2, 38..=39, FROM_14),
    // JCB, with the ranges of its 15-digit numbers
    brand(4, 3528..=3589, FROM_16),
    brand(2, 35..=35, &[16]),
    brand(4, 1800..=1800, &[15]),
    brand(4, 2131..=2131, &[15]),
    // UnionPay
    brand(2, 62..=62, FROM_16),
    brand(2, 81..=81, FROM_16),
    // Maestro
    brand(4, 5018..=5018, FROM_12),
    brand(4, 5020..=5020, FROM_12),
    brand(4, 5038..=5038, FROM_12),
    brand(4, 5893..=5893, FROM_12),
    brand(4, 6304..=6304, FROM_12),
    brand(4, 6759..=6759, FROM_12),
    brand(4, 6761..=6763, FROM_12),
    wide(2, 50..=50, FROM_12),
    wide(2, 56..=58, FROM_12),
    wide(2, 67..=67, FROM_12),
    // RuPay
    brand(2, 60..=60, &[16]),
    brand(2, 82..=82, &[16]),
    brand(3, 508..=508, &[16]),
    brand(3, 353..=353, &[16]),
    brand(3, 356..=356, &[16]),
    // Mir
    brand(4, 2200..=2204, FROM_16),
    // Elo
    brand(6, 506_699..=506_778, &[16]),
    brand(6, 509_000..=509_999, &[16]),
    // Verve
    brand(6, 506_099..=506_198, &[16, 18, 19]),
    brand(6, 507_865..=507_964, &[16, 18, 19]),
    // InterPayment
    brand(3, 636..=636, FROM_16),
    // Troy
    brand(4, 9792..=9792, &[16]),
    // Dankort
    brand(4, 5019..=5019, &[16]),
    // Uzcard, Humo
    brand(4, 8600..=8600, &[16]),
    brand(4, 5614..=5614, &[16]),
    brand(4, 9860..=9860, &[16]),
];
