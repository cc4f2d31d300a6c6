//! Samples that each detector finds, and that it leaves alone.

use super::*;

/// What a scan finds, as detector and text.
fn found(text: &str) -> Vec<(&'static str, &str)> {
    scan(text.as_bytes()).unwrap().into_iter().map(|it| (it.detector, &text[it.start..it.end])).collect()
}

#[track_caller]
fn finds(detector: &'static str, samples: &[(&str, &str)]) {
    for (text, value) in samples {
        assert!(found(text).contains(&(detector, value)), "{detector} in `{text}`: {:?}", found(text));
    }
}

#[track_caller]
fn leaves_alone(detector: &str, samples: &[&str]) {
    for text in samples {
        let hits: Vec<_> = found(text).into_iter().filter(|hit| hit.0 == detector).collect();
        assert!(hits.is_empty(), "{detector} in `{text}`: {hits:?}");
    }
}

#[test]
fn card_numbers_of_each_brand_and_layout_are_found() {
    finds(
        "card_number",
        &[
            ("4111111111111111", "4111111111111111"),
            ("pan=4222222222222,", "4222222222222"),
            ("x 4111 1111 1111 1111 12/28", "4111 1111 1111 1111"),
            ("5555-5555-5555-4444", "5555-5555-5555-4444"),
            ("2223003122003222", "2223003122003222"),
            ("3782 822463 10005", "3782 822463 10005"),
            ("6011.1111.1111.1117", "6011.1111.1111.1117"),
            ("3056 930902 5904", "3056 930902 5904"),
            ("3530111333300000", "3530111333300000"),
            ("6205500000000000004", "6205500000000000004"),
            ("6759649826438453", "6759649826438453"),
            (r#"{"note":"pay\n4111111111111111\t"}"#, "4111111111111111"),
            ("carte 4111111111111111é", "4111111111111111"),
        ],
    );
}

#[test]
fn numbers_that_are_no_cards_are_left_alone() {
    leaves_alone(
        "card_number",
        &[
            "4111111111111112",
            "94111111111111111",
            "41111111111111110000000",
            "0.4111111111111111",
            "4111111111111111.5",
            "a4111111111111111",
            "4111111111111111f",
            "4111-1111 1111-1111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "1700000000000",
            "550e8400-e29b-41d4-a716-446655440000",
            "0000000000000000",
            "9999999999999995",
            "order 567412345674",
        ],
    );
}

#[test]
fn ibans_are_found_together_and_in_groups() {
    finds(
        "iban",
        &[
            ("DE89370400440532013000", "DE89370400440532013000"),
            ("to DE89 3704 0044 0532 0130 00.", "DE89 3704 0044 0532 0130 00"),
            ("gb82west12345698765432", "gb82west12345698765432"),
            ("FR14-2004-1010-0505-0001-3M02-606", "FR14-2004-1010-0505-0001-3M02-606"),
            ("NO9386011117947", "NO9386011117947"),
            ("MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S"),
            (r#"{"a":"\nNL91ABNA0417164300"}"#, "NL91ABNA0417164300"),
        ],
    );
    leaves_alone(
        "iban",
        &[
            "DE89370400440532013001",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "ZZ89370400440532013000",
            "xDE89370400440532013000",
            "DE89 3704-0044 0532 0130 00",
            "no 15 people",
        ],
    );
}

#[test]
fn social_security_numbers_follow_the_issuing_rules() {
    finds(
        "us_ssn",
        &[
            ("123-45-6789", "123-45-6789"),
            ("is 536 90 4399.", "536 90 4399"),
            ("SSN: 536904399", "536904399"),
            ("{\"userSsn\":\"536904399\"}", "536904399"),
            ("Social Security Number 536904399", "536904399"),
        ],
    );
    leaves_alone(
        "us_ssn",
        &[
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "078-05-1120",
            "219-09-9999",
            "123-45 6789",
            "1123-45-6789",
            "123-45-67890",
            "2-123-45-6789",
            "123-45-6789-1",
            "536904399",
            "className: 536904399",
            "1 123 45 6789 2",
        ],
    );
}

#[test]
fn email_addresses_end_where_the_sentence_goes_on() {
    finds(
        "email",
        &[
            ("bob@example.com", "bob@example.com"),
            ("<first.last+tag@mail.example.co.uk>", "first.last+tag@mail.example.co.uk"),
            ("Write to bob@example.com.", "bob@example.com"),
            ("mailto:bob@example.com?subject=x", "bob@example.com"),
            ("a@münchen.de", "a@münchen.de"),
            ("bob@example.com联系", "bob@example.com"),
            ("x@xn--mnchen-3ya.xn--p1ai", "x@xn--mnchen-3ya.xn--p1ai"),
            (r#"{"t":"hi\nbob@example.com"}"#, "bob@example.com"),
        ],
    );
    leaves_alone(
        "email",
        &[
            "icon@2x.png",
            "pkg@1.2.3",
            "@handle",
            "a@b",
            "a..b@example.com",
            ".@example.com",
            "a@-x.com",
            "@@",
        ],
    );
}

#[test]
fn telephone_numbers_need_a_form_or_a_word() {
    finds(
        "phone",
        &[
            ("+49 30 901820", "+49 30 901820"),
            ("+442079460958", "+442079460958"),
            ("+1 (212) 555-0123", "+1 (212) 555-0123"),
            ("(212) 555-0123", "(212) 555-0123"),
            ("212-555-0123", "212-555-0123"),
            ("212.555.0123x45", "212.555.0123x45"),
            ("1-800-555-0199", "1-800-555-0199"),
            ("Tel. 01 23 45 67 89", "01 23 45 67 89"),
            ("{\"phoneNumber\": \"0301234567\"}", "0301234567"),
            ("Phone: (08) 8747 6301", "(08) 8747 6301"),
        ],
    );
    leaves_alone(
        "phone",
        &[
            "2026-01-31",
            "call on 31.01.2026",
            "212-555-01234",
            "112-555-0123",
            "212-155-0123",
            "3-212-555-0123",
            "0301234567",
            "10 20 30 40 50",
            "+999 1234567",
            "+0 123 456 789",
            "+49 30 901820b",
            "intel 12345678",
            "192.168.100.200",
        ],
    );
}

#[test]
fn private_keys_are_found_with_real_and_escaped_lines() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
    for label in
        ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
    {
        for line in ["\n", "\r\n", "\\n"] {
            let key = format!("-----BEGIN {label}-----{line}{body}{line}-----END {label}-----");
            finds("private_key", &[(format!("key:{key}\n").as_str(), key.as_str())]);
        }
    }
    let cut = format!("-----BEGIN EC PRIVATE KEY-----\n{body}");
    finds("private_key", &[(format!("{cut}<").as_str(), cut.as_str())]);
    let public = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----");
    let example = "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----";
    leaves_alone("private_key", &[&public, example, "-----BEGIN PRIVATE KEY-----"]);
}

#[test]
fn service_account_is_told_from_a_plain_key() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
    let key = format!("-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----");
    let account = format!(r#"{{"type": "service_account", "private_key": "{key}\n"}}"#);
    finds("gcp_service_account", &[(&account, &key)]);
    finds("private_key", &[(&account, &key)]);
    leaves_alone("gcp_service_account", &[&format!(r#"{{"private_key": "{key}\n"}}"#)]);
}

#[test]
fn cloud_keys_are_found() {
    let secret = format!("wJalrXUtnFEMI/K7MDENG/{}", "bPxRfiCYEXAMPLEKEY");
    let azure = format!("{}==", "aB3".repeat(28) + "xY");
    let bus = format!("{}=", "aB3".repeat(14) + "x");
    let google = format!("AIza{}", "Sy".repeat(17) + "9");
    finds("aws_access_key", &[("id=AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE")]);
    finds("aws_access_key", &[(r#""\nASIAIOSFODNN7EXAMPLE""#, "ASIAIOSFODNN7EXAMPLE")]);
    for text in [
        format!("aws_secret_access_key = {secret}"),
        format!("AWS_SECRET_ACCESS_KEY={secret}"),
        format!(r#"{{"SecretAccessKey": "{secret}"}}"#),
        format!("AKIAIOSFODNN7EXAMPLE,{secret}"),
    ] {
        finds("aws_secret_key", &[(&text, &secret)]);
    }
    finds("azure_storage_key", &[(&format!("AccountName=a;AccountKey={azure};"), &azure)]);
    finds("azure_storage_key", &[(&format!("SharedAccessKey={bus}"), &bus)]);
    finds("gcp_api_key", &[(&format!("key={google}&x"), &google)]);
    leaves_alone(
        "aws_access_key",
        &["AKIAIOSFODNN7EXAMPL", "XAKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE9"],
    );
    leaves_alone(
        "aws_secret_key",
        &[&secret, "aws_secret_access_key = da39a3ee5e6b4b0d3255bfef95601890afd80709"],
    );
    leaves_alone("azure_storage_key", &[&azure, "AccountKey=short=="]);
    leaves_alone("gcp_api_key", &["AIzaShort", &format!("{google}9")]);
}

#[test]
fn tokens_of_services_are_found() {
    let random = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ";
    let github = format!("ghp_{random}0mLq17");
    let fine = format!("github_pat_{}_{}", "a1".repeat(11), "b2".repeat(29) + "c");
    let bot = format!("xoxb-{}-{}-{}", "123456789012", "1234567890123", "abcdefghijklmnopqrstuvwx");
    let hook = format!("hooks.slack.com/services/T{}/B{}/{}", "00000000", "00000000", "X".repeat(24));
    let stripe = format!("sk_live_{}", "4eC39HqLyjWDarjtT1zdp7dc");
    finds("github_token", &[(&format!("token {github}"), &github), (&fine, &fine)]);
    finds("slack_token", &[(&format!("{bot}."), &bot), (&format!("https://{hook}"), &hook)]);
    finds("stripe_key", &[(&stripe, &stripe)]);
    leaves_alone("github_token", &[&format!("ghp_{random}0mLq18"), &format!("{github}x"), "ghp_short"]);
    leaves_alone("slack_token", &["xoxb-your-token-here", "hooks.slack.com/services/T/B/x"]);
    leaves_alone("stripe_key", &["sk_live_xxxxxxxxxxxxxxxxxxxxxxxx", "task_live_4eC39HqLyjWDarjtT1zdp7dc"]);
}

#[test]
fn web_tokens_need_a_readable_header() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
    let escaped = format!(r#"{{"t":"a\n{token}"}}"#);
    finds("jwt", &[(&format!("Bearer {token}"), token), (unsigned, unsigned), (&escaped, token)]);
    leaves_alone(
        "jwt",
        &["eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJI.eyJzdWIiOiIxIn0.x", "eyJhIjoxfQ.eyJzdWIiOiIxIn0.x"],
    );
}

#[test]
fn a_card_inside_an_address_is_reported_beside_it() {
    let text = "4111111111111111@example.com";
    assert_eq!(found(text), [("email", text), ("card_number", &text[..16])]);
}

#[test]
fn a_guess_inside_another_finding_is_dropped() {
    assert_eq!(found("212-555-0123@example.com"), [("email", "212-555-0123@example.com")]);
}

#[test]
fn clean_text_has_no_findings() {
    let text = "At 2026-01-31T10:30:00Z build 1.24.3 (sha 3f2a9c1) took 1,234.56 ms on 10.0.0.12:8080; 42 of 57 \
                passed. Invoice 2026/00417, 99.95 EUR, room 4-12, ratio 0.333333333333333.";
    assert_eq!(found(text), []);
}
