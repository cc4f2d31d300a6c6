//! Log lines on standard error, for people or for machines.

use tracing_subscriber::filter::LevelFilter;

/// Logs to standard error from now on, once per process; `json` writes one object per line.
///
/// `level` is `error`, `warn`, `info`, `debug`, `trace` or `off`. A second call changes nothing.
///
/// # Errors
/// The level, when it is none of these.
pub fn init_logging(json: bool, level: &str) -> Result<(), String> {
    let filter: LevelFilter = level
        .parse()
        .map_err(|_| format!("`{level}` is no log level: write error, warn, info, debug, trace or off"))?;
    let builder = tracing_subscriber::fmt().with_max_level(filter).with_writer(std::io::stderr);
    // A process that has a subscriber of its own keeps it.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
    Ok(())
}
