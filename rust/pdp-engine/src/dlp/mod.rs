//! Data loss prevention: finds sensitive data in a payload and masks it.

/// A piece of sensitive data.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Detector, such as `card_number`.
    pub detector: &'static str,
    /// `financial`, `personal`, `credential` or `health`.
    pub category: &'static str,
    /// First byte of the span.
    pub start: usize,
    /// First byte after the span.
    pub end: usize,
    /// 0 to 1.
    pub confidence: f64,
}
