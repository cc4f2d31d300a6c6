//! Country calling codes (ITU-T E.164) as ranges of a number's first three digits.

use std::ops::RangeInclusive;

/// Sorted; a code of one or two digits spans its hundred or its ten.
const ASSIGNED: &[RangeInclusive<u16>] = &[
    100..=209,
    211..=213,
    216..=216,
    218..=218,
    220..=258,
    260..=279,
    290..=291,
    297..=349,
    350..=379,
    380..=383,
    385..=387,
    389..=419,
    420..=421,
    423..=423,
    430..=670,
    672..=683,
    685..=692,
    700..=800,
    808..=808,
    810..=829,
    840..=850,
    852..=853,
    855..=856,
    860..=870,
    878..=878,
    880..=883,
    886..=886,
    888..=888,
    900..=968,
    970..=977,
    979..=989,
    992..=996,
    998..=998,
];

/// Whether a number in international form may start with these digits.
pub(super) fn is_assigned(leading: [u8; 3]) -> bool {
    let leading = leading.iter().fold(0, |number, digit| number * 10 + u16::from(*digit));
    ASSIGNED.iter().any(|range| range.contains(&leading))
}
