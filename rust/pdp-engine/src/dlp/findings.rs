//! Findings as they are gathered, bounded, then ordered and cleared of guesses that others explain.

use std::cmp::Reverse;

use super::detector::{Detector, is_weak};
use super::{Finding, MAX_FINDINGS, ScanError};

/// Findings of one scan.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    /// Adds a finding.
    ///
    /// # Errors
    /// When there would be more than [`MAX_FINDINGS`].
    pub(super) fn push(
        &mut self,
        detector: Detector,
        start: usize,
        end: usize,
        confidence: f64,
    ) -> Result<(), ScanError> {
        if self.found.len() >= MAX_FINDINGS {
            return Err(ScanError::TooManyFindings);
        }
        let info = detector.info();
        self.found.push(Finding { detector: info.name, category: info.category, start, end, confidence });
        Ok(())
    }

    /// By start, the longer first, then by name; each once; guesses inside others dropped.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|it| (it.start, Reverse(it.end), is_weak(it.detector), it.detector));
        self.found.dedup_by_key(|it| (it.start, it.end, it.detector));
        let mut explained = 0;
        self.found.retain(|it| {
            if is_weak(it.detector) {
                return it.end > explained;
            }
            explained = explained.max(it.end);
            true
        });
        self.found
    }
}
