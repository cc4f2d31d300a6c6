//! The detectors: names, categories and how each is masked.

/// What a detector looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectorInfo {
    /// Stable name, such as `card_number`.
    pub name: &'static str,
    /// `financial`, `personal` or `credential`.
    pub category: &'static str,
    /// One sentence for a person.
    pub description: &'static str,
}

/// How a finding is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaskStyle {
    /// `*` for each letter and digit but the last four; the separators stay.
    KeepLastFour,
    /// `*` for each letter and digit; the separators stay.
    Stars,
    /// `[REDACTED:<detector>]` instead of the whole.
    Label,
}

/// A detector; its number is its row in [`DETECTORS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detector {
    CardNumber,
    Iban,
    UsSsn,
    Email,
    Phone,
    PrivateKey,
    AwsAccessKey,
    AwsSecretKey,
    GcpApiKey,
    GcpServiceAccount,
    AzureStorageKey,
    GithubToken,
    SlackToken,
    StripeKey,
    Jwt,
}

/// One row per detector, in the order of [`Detector`].
pub(super) static DETECTORS: [DetectorInfo; 15] = [
    financial("card_number", "Payment card number: issuer range and length, Luhn check digit"),
    financial("iban", "International bank account number: country length, ISO 7064 mod 97 check digits"),
    personal("us_ssn", "United States social security number by the issuing rules"),
    personal("email", "E-mail address"),
    personal("phone", "Telephone number: E.164, North American, or national beside a word such as `phone`"),
    credential("private_key", "PEM or PGP private key block"),
    credential("aws_access_key", "AWS access key id"),
    credential("aws_secret_key", "AWS secret access key beside its name or its key id"),
    credential("gcp_api_key", "Google Cloud API key"),
    credential("gcp_service_account", "Private key inside Google Cloud service account credentials"),
    credential("azure_storage_key", "Azure storage account key in a connection string or setting"),
    credential("github_token", "GitHub token: CRC-32 check for the classic forms"),
    credential("slack_token", "Slack token or incoming webhook"),
    credential("stripe_key", "Stripe secret or restricted key, or webhook secret"),
    credential("jwt", "JSON Web Token with a readable header"),
];

const fn financial(name: &'static str, description: &'static str) -> DetectorInfo {
    DetectorInfo { name, category: "financial", description }
}

const fn personal(name: &'static str, description: &'static str) -> DetectorInfo {
    DetectorInfo { name, category: "personal", description }
}

const fn credential(name: &'static str, description: &'static str) -> DetectorInfo {
    DetectorInfo { name, category: "credential", description }
}

impl Detector {
    pub(super) fn info(self) -> &'static DetectorInfo {
        DETECTORS.get(self as usize).unwrap_or(&DETECTORS[0])
    }
}

/// How findings of the named detector are hidden; unknown names are hidden whole.
pub(super) fn mask_style(detector: &str) -> MaskStyle {
    match detector {
        "card_number" | "iban" => MaskStyle::KeepLastFour,
        "us_ssn" | "phone" => MaskStyle::Stars,
        _ => MaskStyle::Label,
    }
}

/// Whether the named detector guesses from shape alone, so that a finding inside another is dropped.
pub(super) fn is_weak(detector: &str) -> bool {
    matches!(detector, "us_ssn" | "phone")
}
