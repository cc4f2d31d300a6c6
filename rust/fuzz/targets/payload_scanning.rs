//! Scanning any bytes ends, finds spans inside of them, and masking hides what was found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdp_engine::dlp;

fuzz_target!(|content: &[u8]| {
    let Ok(findings) = dlp::scan(content) else { return };
    for finding in &findings {
        assert!(finding.start < finding.end && finding.end <= content.len());
        if let Ok(text) = std::str::from_utf8(content) {
            assert!(text.is_char_boundary(finding.start) && text.is_char_boundary(finding.end));
        }
    }
    let masked = dlp::mask(content, &findings);
    for finding in &findings {
        let found = &content[finding.start..finding.end];
        assert!(!masked.get(finding.start..finding.end).is_some_and(|kept| kept == found));
    }
});
