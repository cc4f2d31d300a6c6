//! Credentials: found by the literal that each starts with or stands beside.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::findings::Findings;
use super::{ScanError, cloud_key, jwt, private_key, token};

/// What a literal leads to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    PrivateKey,
    AwsAccessKey,
    AwsSecretKey,
    GcpApiKey,
    AzureKey,
    Github,
    GithubFineGrained,
    Slack,
    SlackHook,
    Stripe,
    Jwt,
}

/// None is a prefix of another.
const ANCHORS: &[(&str, Kind)] = &[
    ("-----BEGIN ", Kind::PrivateKey),
    ("AKIA", Kind::AwsAccessKey),
    ("ASIA", Kind::AwsAccessKey),
    ("aws_secret", Kind::AwsSecretKey),
    ("AWS_SECRET", Kind::AwsSecretKey),
    ("awsSecret", Kind::AwsSecretKey),
    ("ecretAccessKey", Kind::AwsSecretKey),
    ("ecret_access_key", Kind::AwsSecretKey),
    ("ECRET_ACCESS_KEY", Kind::AwsSecretKey),
    ("AIza", Kind::GcpApiKey),
    ("AccountKey", Kind::AzureKey),
    ("accountKey", Kind::AzureKey),
    ("ACCOUNT_KEY", Kind::AzureKey),
    ("STORAGE_KEY", Kind::AzureKey),
    ("SharedAccessKey", Kind::AzureKey),
    ("ghp_", Kind::Github),
    ("gho_", Kind::Github),
    ("ghu_", Kind::Github),
    ("ghs_", Kind::Github),
    ("ghr_", Kind::Github),
    ("github_pat_", Kind::GithubFineGrained),
    ("xoxb-", Kind::Slack),
    ("xoxp-", Kind::Slack),
    ("xoxa-", Kind::Slack),
    ("xoxr-", Kind::Slack),
    ("xoxs-", Kind::Slack),
    ("xoxe-", Kind::Slack),
    ("xoxe.xox", Kind::Slack),
    ("xapp-", Kind::Slack),
    ("hooks.slack.com/services/", Kind::SlackHook),
    ("sk_live_", Kind::Stripe),
    ("rk_live_", Kind::Stripe),
    ("sk_test_", Kind::Stripe),
    ("rk_test_", Kind::Stripe),
    ("whsec_", Kind::Stripe),
    ("eyJ", Kind::Jwt),
];

static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let literals = ANCHORS.iter().map(|(literal, _)| literal);
    AhoCorasickBuilder::new().match_kind(MatchKind::LeftmostFirst).build(literals).ok()
});

/// Looks for credentials in the whole content, once.
pub(super) fn find_all(content: &[u8], findings: &mut Findings) -> Result<(), ScanError> {
    let automaton = AUTOMATON.as_ref().ok_or(ScanError::Unavailable)?;
    let mut resume = 0;
    for anchor in automaton.find_iter(content) {
        if anchor.start() < resume {
            continue;
        }
        let Some((_, kind)) = ANCHORS.get(anchor.pattern().as_usize()) else { continue };
        let (start, end) = (anchor.start(), anchor.end());
        match kind {
            Kind::PrivateKey => resume = private_key::find(content, start, end, findings)?,
            Kind::AwsAccessKey => cloud_key::find_aws_id(content, start, findings)?,
            Kind::AwsSecretKey => cloud_key::find_aws_secret(content, end, findings)?,
            Kind::GcpApiKey => cloud_key::find_gcp(content, start, findings)?,
            Kind::AzureKey => cloud_key::find_azure(content, end, findings)?,
            Kind::Github => token::find_github(content, start, findings)?,
            Kind::GithubFineGrained => token::find_github_fine_grained(content, start, findings)?,
            Kind::Slack => token::find_slack(content, start, findings)?,
            Kind::SlackHook => token::find_slack_hook(content, start, end, findings)?,
            Kind::Stripe => token::find_stripe(content, start, end, findings)?,
            Kind::Jwt => jwt::find(content, start, findings)?,
        }
    }
    Ok(())
}
