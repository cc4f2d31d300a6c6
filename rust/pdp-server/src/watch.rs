//! Watches the policy directory by looking at it, which works on every file
//! system and through the symbolic links that Kubernetes swaps.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::reload::Reloader;

/// Directories inside of each other that are looked at; a loop of links ends here.
const MAX_DEPTH: usize = 16;
/// Entries that are looked at.
const MAX_ENTRIES: usize = 500_000;

/// A running watch; it ends soon after it is dropped, without being waited for.
pub(crate) struct Watch {
    _stop: Sender<()>,
}

impl Watch {
    /// Looks every `interval` and reloads once what was seen has settled.
    /// `loaded` is the digest of what the set that serves was read from.
    pub(crate) fn start(reloader: Arc<Reloader>, interval: Duration, loaded: u64) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        std::thread::Builder::new()
            .name("pdp-watch".to_owned())
            .spawn(move || watch(&reloader, interval, loaded, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn watch(reloader: &Reloader, interval: Duration, mut loaded: u64, stopped: &Receiver<()>) {
    let mut last = loaded;
    let mut pause = interval;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let start = Instant::now();
        let seen = digest(reloader.directory());
        // A large directory is looked at less often: at most 2 % of one core.
        pause = interval.max(start.elapsed() * 50);
        // Files are often written one by one; a set is read when nothing has changed for one interval.
        if seen == last && seen != loaded {
            loaded = seen;
            // The outcome is in the log, the metrics, the readiness and the status.
            let _ = reloader.reload();
        }
        last = seen;
    }
}

/// A digest over names, sizes and times of everything below `directory`.
pub(crate) fn digest(directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut pending = vec![(directory.to_path_buf(), 0)];
    let mut entries = 0;
    while let Some((path, depth)) = pending.pop() {
        for child in children(&path) {
            entries += 1;
            if entries > MAX_ENTRIES {
                return hasher.finish();
            }
            child.hash(&mut hasher);
            // Follows links: a link that points elsewhere now has another target's times.
            let Ok(found) = fs::metadata(&child) else { continue };
            if found.is_dir() {
                if depth < MAX_DEPTH {
                    pending.push((child, depth + 1));
                }
            } else {
                (found.len(), found.modified().ok()).hash(&mut hasher);
                #[cfg(unix)]
                std::os::unix::fs::MetadataExt::ino(&found).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

/// Entries by name, without hidden ones: editors and Kubernetes keep their own there.
fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let hidden = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| !hidden(path)).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_changes_with_content_names_and_link_targets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for version in ["..one", "..two"] {
            fs::create_dir(path.join(version)).unwrap();
            fs::write(path.join(version).join("manifest.yaml"), "version: 1").unwrap();
        }
        std::os::unix::fs::symlink("..one", path.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/manifest.yaml", path.join("manifest.yaml")).unwrap();
        let first = digest(path);
        assert_eq!(first, digest(path));
        fs::remove_file(path.join("..data")).unwrap();
        std::os::unix::fs::symlink("..two", path.join("..data")).unwrap();
        let swapped = digest(path);
        assert_ne!(first, swapped);
        fs::write(path.join("new.rego"), "").unwrap();
        assert_ne!(swapped, digest(path));
    }

    #[test]
    fn loop_of_links_ends() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", directory.path().join("again")).unwrap();
        assert_eq!(digest(directory.path()), digest(directory.path()));
    }
}
