//! Reads a policy directory's files: each once, inside the directory only, and digested.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use pdp_policy::{Diagnostic, DiagnosticCode, Source};
use sha2::{Digest, Sha256};

use crate::request::Text;

/// The files read so far.
pub(crate) struct Files<'a> {
    directory: &'a Path,
    max_bytes: u64,
    read: BTreeMap<String, Arc<str>>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(directory: &'a Path, max_bytes: u64) -> Self {
        Self { directory, max_bytes, read: BTreeMap::new() }
    }

    /// The file at `path`, relative to the directory.
    pub(crate) fn read(&mut self, path: &str) -> Result<Source, Diagnostic> {
        if let Some(text) = self.read.get(path) {
            return Ok(Source { path: path.to_owned(), text: text.clone() });
        }
        let text: Arc<str> = self.load(path)?.into();
        self.read.insert(path.to_owned(), text.clone());
        Ok(Source { path: path.to_owned(), text })
    }

    fn load(&self, path: &str) -> Result<String, Diagnostic> {
        let relative = Path::new(path);
        if path.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(fault(path, DiagnosticCode::Unreadable, "is not a path below the policy directory"));
        }
        let full: PathBuf = self.directory.join(relative);
        let unreadable = |error: std::io::Error| {
            fault(path, DiagnosticCode::Unreadable, &format!("cannot be read: {error}"))
        };
        let size = fs::metadata(&full).map_err(unreadable)?.len();
        if size > self.max_bytes {
            let message = format!("has {size} bytes, over the limit of {} bytes", self.max_bytes);
            return Err(fault(path, DiagnosticCode::TooLarge, &message));
        }
        fs::read_to_string(&full).map_err(unreadable)
    }

    /// The first 16 hex digits of the SHA-256 over each file's path, length and text, by path.
    pub(crate) fn revision(&self) -> Text {
        let mut digest = Sha256::new();
        for (path, text) in &self.read {
            for part in [path.as_bytes(), text.as_bytes()] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        let mut revision = String::with_capacity(16);
        for byte in digest.finalize().iter().take(8) {
            let _ = write!(revision, "{byte:02x}");
        }
        revision.into()
    }
}

/// A diagnostic without a place.
pub(crate) fn fault(file: &str, code: DiagnosticCode, message: &str) -> Diagnostic {
    Diagnostic { file: file.to_owned(), span: None, code, message: message.to_owned() }
}
