//! Builtins the product answers itself: the time of the request, and bounded ranges.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use regorus::{Engine, Value};

/// Elements one call of a builtin may make.
pub(super) const MAX_ELEMENTS: u64 = 1_000_000;

/// How the error of a builtin past [`MAX_ELEMENTS`] is told from others.
pub(super) const TOO_MANY_ELEMENTS: &str = "makes more elements than its bound";

thread_local! {
    static NOW_NS: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Sets what `time.now_ns` answers on this thread from now on.
pub(super) fn set_now(now: SystemTime) {
    let since_epoch = now.duration_since(UNIX_EPOCH).ok();
    NOW_NS.set(since_epoch.and_then(|time| i64::try_from(time.as_nanos()).ok()));
}

/// Puts the product's builtins before the engine's.
pub(super) fn install(engine: &mut Engine) -> anyhow::Result<()> {
    engine.add_extension("time.now_ns".to_owned(), 0, Box::new(now_ns))?;
    engine.add_extension("numbers.range".to_owned(), 2, Box::new(range))?;
    engine.add_extension("net.cidr_expand".to_owned(), 1, Box::new(cidr_expand))
}

fn now_ns(_: Vec<Value>) -> anyhow::Result<Value> {
    Ok(NOW_NS.get().map_or(Value::Undefined, Value::from))
}

/// `numbers.range(a, b)`: all whole numbers from a to b, downwards where b is smaller. Undefined on
/// anything but whole numbers, as OPA's non-strict mode has it.
fn range(args: Vec<Value>) -> anyhow::Result<Value> {
    let [from, to] = args.as_slice() else { return Ok(Value::Undefined) };
    let (Ok(from), Ok(to)) = (from.as_i64(), to.as_i64()) else { return Ok(Value::Undefined) };
    if from.abs_diff(to) >= MAX_ELEMENTS {
        anyhow::bail!("numbers.range {TOO_MANY_ELEMENTS} of {MAX_ELEMENTS}");
    }
    let items: Vec<Value> = if from <= to {
        (from..=to).map(Value::from).collect()
    } else {
        (to..=from).rev().map(Value::from).collect()
    };
    Ok(Value::from(items))
}

/// `net.cidr_expand(cidr)`: the set of addresses in `cidr`, at most 2^16 of them.
fn cidr_expand(args: Vec<Value>) -> anyhow::Result<Value> {
    let [cidr] = args.as_slice() else { return Ok(Value::Undefined) };
    let Ok(cidr) = cidr.as_string() else { return Ok(Value::Undefined) };
    let Some((address, prefix)) = cidr.split_once('/') else { return Ok(Value::Undefined) };
    let (Ok(address), Ok(prefix)) = (address.parse::<std::net::IpAddr>(), prefix.parse::<u32>()) else {
        return Ok(Value::Undefined);
    };
    let (bits, width) = match address {
        std::net::IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        std::net::IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let Some(host_bits) = u32::checked_sub(width, prefix) else { return Ok(Value::Undefined) };
    if host_bits > 16 {
        anyhow::bail!("net.cidr_expand {TOO_MANY_ELEMENTS} of {}", 1 << 16);
    }
    let size = 1_u128 << host_bits;
    let first = bits & !(size - 1);
    let addresses = (0..size).map(|at| match width {
        32 => std::net::Ipv4Addr::from(u32::try_from(first + at).unwrap_or(u32::MAX)).to_string(),
        _ => std::net::Ipv6Addr::from(first + at).to_string(),
    });
    let set: std::collections::BTreeSet<Value> = addresses.map(Value::from).collect();
    Ok(Value::from(set))
}
