//! The script that counts, and calls of it.

use std::sync::LazyLock;

use redis::Cmd;

use super::name::Key;

/// The script's source.
const SOURCE: &str = include_str!("count.lua");
/// Its name in the server's cache.
static HASH: LazyLock<String> = LazyLock::new(|| redis::Script::new(SOURCE).get_hash().to_owned());

/// One call of the script on keys of one slot.
#[derive(Debug)]
pub(crate) struct Call {
    /// The slot; any on a single server.
    pub(super) slot: u16,
    pub(super) keys: Vec<Key>,
    pub(super) argument: Vec<u8>,
}

impl Call {
    /// The command; with the whole script where the server may not know it.
    pub(super) fn command(&self, whole: bool) -> Cmd {
        let arguments = self.keys.len() + 4;
        let mut command = Cmd::with_capacity(arguments, self.keys.len() * 48 + self.argument.len() + 64);
        match whole {
            true => command.arg("EVAL").arg(SOURCE),
            false => command.arg("EVALSHA").arg(HASH.as_str()),
        };
        command.arg(self.keys.len());
        for key in &self.keys {
            command.arg(key.as_bytes());
        }
        command.arg(self.argument.as_slice());
        command
    }
}
