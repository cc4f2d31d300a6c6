//! Laws of scanning and masking on any bytes.

use proptest::prelude::*;

use super::card::luhn;
use super::*;

/// Values of all kinds, and pieces that could join them.
const PIECES: &[&str] = &[
    "4111111111111111",
    "4242 4242 4242 4242",
    "3782 822463 10005",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "123-45-6789",
    "ssn 536904399",
    "536904399",
    "bob@example.com",
    "@example.com",
    "+49 30 901820",
    "(212) 555-0123",
    "phone 0301234567",
    "0301234567",
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key=",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "-----BEGIN PRIVATE KEY-----",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7",
    "-----END PRIVATE KEY-----",
    "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",
    "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",
    "AccountKey=",
    "service_account",
    "4111",
    "555",
    "0123",
    "é",
    "联",
    "\\n",
    "\"",
    ".",
    ",",
    " ",
    "-",
    "x",
    "=",
];

/// Pieces in any order, with and without gaps.
fn texts() -> impl Strategy<Value = String> {
    let gap = prop::sample::select(vec!["", "", " ", ",", "\n", "-"]);
    prop::collection::vec((prop::sample::select(PIECES), gap), 0..14)
        .prop_map(|parts| parts.into_iter().flat_map(|(piece, gap)| [piece, gap]).collect())
}

fn spans_are_sound(content: &[u8], findings: &[Finding]) -> bool {
    findings.iter().all(|it| {
        it.start < it.end
            && it.end <= content.len()
            && (0.0..=1.0).contains(&it.confidence)
            && detectors().iter().any(|info| info.name == it.detector && info.category == it.category)
    })
}

fn is_ordered(findings: &[Finding]) -> bool {
    findings.is_sorted_by_key(|it| (it.start, std::cmp::Reverse(it.end)))
}

fn holds(content: &[u8], value: &[u8]) -> bool {
    content.windows(value.len()).any(|window| window == value)
}

proptest! {
    #[test]
    fn spans_are_sound_on_any_bytes(content in prop::collection::vec(any::<u8>(), 0..2048)) {
        let findings = scan(&content).unwrap();
        prop_assert!(spans_are_sound(&content, &findings) && is_ordered(&findings));
    }

    #[test]
    fn spans_are_sound_on_dense_bytes(content in "[0-9A-Z@. eyJ+/()_:=-]{0,400}") {
        let findings = scan(content.as_bytes()).unwrap();
        prop_assert!(spans_are_sound(content.as_bytes(), &findings) && is_ordered(&findings));
    }

    #[test]
    fn spans_lie_on_character_boundaries(text in texts()) {
        for it in scan(text.as_bytes()).unwrap() {
            prop_assert!(text.get(it.start..it.end).is_some());
        }
    }

    #[test]
    fn masking_removes_every_value(text in texts()) {
        let findings = scan(text.as_bytes()).unwrap();
        let masked = mask(text.as_bytes(), &findings);
        for it in &findings {
            prop_assert!(!holds(&masked, &text.as_bytes()[it.start..it.end]), "{it:?} in {text}");
        }
        let again = scan(&masked).unwrap();
        let is_same = |it: &Finding| findings.iter().any(|first| first.detector == it.detector);
        prop_assert!(!again.iter().any(is_same), "{again:?} in {text}");
        prop_assert!(std::str::from_utf8(&masked).is_ok());
    }

    #[test]
    fn masking_one_detector_leaves_none_of_it(text in texts(), pick in any::<prop::sample::Index>()) {
        let findings = scan(text.as_bytes()).unwrap();
        if findings.is_empty() {
            return Ok(());
        }
        let detector = pick.get(&findings).detector;
        let chosen: Vec<&Finding> = findings.iter().filter(|it| it.detector == detector).collect();
        let masked = mask(text.as_bytes(), chosen.iter().copied());
        prop_assert!(scan(&masked).unwrap().iter().all(|it| it.detector != detector));
        for it in chosen {
            prop_assert!(!holds(&masked, &text.as_bytes()[it.start..it.end]), "{it:?} in {text}");
        }
    }

    #[test]
    fn text_without_findings_is_not_changed(content in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(mask(&content, &[]), content);
    }

    #[test]
    fn luhn_sees_every_single_digit_error(
        digits in prop::collection::vec(0_u8..10, 11..19),
        place in any::<prop::sample::Index>(),
        shift in 1_u8..10,
    ) {
        let check = (0..10).find(|check| luhn(digits.iter().copied().chain([*check])));
        let mut whole: Vec<u8> = digits.iter().copied().chain([check.unwrap()]).collect();
        let place = place.index(whole.len());
        whole[place] = (whole[place] + shift) % 10;
        prop_assert!(!luhn(whole.into_iter()));
    }

    #[test]
    fn mod_97_has_no_check_digits_outside_02_to_98(account in "[0-9]{18}", check in 0_u32..100) {
        let is_valid = iban::is_valid(format!("DE{check:02}{account}").bytes());
        prop_assert!(!is_valid || (2..=98).contains(&check));
        let valid = (0..100).filter(|check| iban::is_valid(format!("DE{check:02}{account}").bytes()));
        prop_assert_eq!(valid.count(), 1);
    }

    #[test]
    fn mod_97_sees_every_single_digit_error(account in "[0-9]{18}", place in 0_usize..18, shift in 1_u8..10) {
        let check = (2..=98).find(|check| iban::is_valid(format!("DE{check:02}{account}").bytes())).unwrap();
        let mut whole = format!("DE{check:02}{account}").into_bytes();
        let digit = &mut whole[place + 4];
        *digit = (*digit - b'0' + shift) % 10 + b'0';
        prop_assert!(!iban::is_valid(whole.into_iter()));
    }
}

#[test]
fn masking_keeps_the_last_four_of_cards_and_accounts_alone() {
    let text = "4111-1111-1111-1111, DE89 3704 0044 0532 0130 00, 123-45-6789, bob@example.com";
    let masked = mask(text.as_bytes(), &scan(text.as_bytes()).unwrap());
    let expected = "****-****-****-1111, **** **** **** **** **30 00, ***-**-****, [REDACTED:email]";
    assert_eq!(std::str::from_utf8(&masked).unwrap(), expected);
}

#[test]
fn the_last_four_are_masked_where_a_number_goes_on() {
    let text = "4111 1111 1111 1111 2222";
    assert_eq!(mask(text.as_bytes(), &scan(text.as_bytes()).unwrap()), b"**** **** **** **** 2222");
}

#[test]
fn a_value_is_masked_also_where_it_is_no_finding() {
    let text = "ssn 536904399, again 536904399";
    let masked = mask(text.as_bytes(), &scan(text.as_bytes()).unwrap());
    assert_eq!(masked, b"ssn *********, again *********");
}

#[test]
fn too_many_findings_are_an_error() {
    let text = "a@b.io ".repeat(MAX_FINDINGS);
    assert_eq!(scan(text.as_bytes()).unwrap().len(), MAX_FINDINGS);
    assert_eq!(scan((text + "a@b.io").as_bytes()), Err(ScanError::TooManyFindings));
}

#[test]
fn too_much_content_is_an_error() {
    let size = MAX_CONTENT + 1;
    assert_eq!(scan(&vec![b' '; size]), Err(ScanError::TooLarge { size }));
}

#[test]
fn findings_show_no_content() {
    let shown = format!("{:?}", scan(b"4111111111111111").unwrap());
    assert!(!shown.contains("4111"), "{shown}");
}

#[test]
fn detectors_have_their_own_names() {
    let mut names: Vec<_> = detectors().iter().map(|info| info.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), detectors().len());
}

/// A text ten times as long takes less than forty times as long; other load may spoil some tries, not all.
#[test]
fn hostile_text_takes_linear_time() {
    let pieces =
        ["-----BEGIN PRIVATE KEY-----", "eyJhbGciOiJIUzI1NiJ9.", "1 ", "@a.", "4111 ", "+1 ", "AKIA", "ssn"];
    for piece in pieces {
        let time = |count: usize| {
            let text = piece.repeat(count);
            let start = std::time::Instant::now();
            let _ = scan(text.as_bytes());
            start.elapsed()
        };
        let is_linear = || time(20_000) < 40 * time(2_000);
        assert!((0..8).any(|_| is_linear()), "{piece}");
    }
}
