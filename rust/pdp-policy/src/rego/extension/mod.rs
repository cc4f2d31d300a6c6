//! Builtins the product answers itself, where the engine would answer differently from OPA or without bound.

mod encoding;
mod glob;
mod net;
mod number;
mod semver;
mod sprintf;
mod text;
mod time;

use std::cell::Cell;

use regorus::{Engine, Value};

pub(super) use time::set_now;

/// Elements one call of a builtin may make.
pub(super) const MAX_ELEMENTS: u64 = 1_000_000;

/// How the error of a builtin past [`MAX_ELEMENTS`] is told from others.
pub(super) const TOO_MANY_ELEMENTS: &str = "makes more elements than its bound";

thread_local! {
    static IS_STRICT: Cell<bool> = const { Cell::new(false) };
}

/// Whether a failing builtin is an error on this thread from now on instead of undefined.
pub(super) fn set_strict(is_strict: bool) {
    IS_STRICT.set(is_strict);
}

/// What a builtin answers when it fails for a reason OPA fails for too.
fn failed(message: &str) -> anyhow::Result<Value> {
    if IS_STRICT.get() {
        anyhow::bail!("{message}");
    }
    Ok(Value::Undefined)
}

type Builtin = fn(&[Value]) -> anyhow::Result<Value>;

const BUILTINS: &[(&str, u8, Builtin)] = &[
    ("base64.decode", 1, encoding::base64_decode),
    ("base64url.decode", 1, encoding::base64url_decode),
    ("glob.match", 3, glob::matches),
    ("indexof", 2, text::indexof),
    ("indexof_n", 2, text::indexof_n),
    ("json.is_valid", 1, text::json_is_valid),
    ("json.marshal", 1, text::json_marshal),
    ("json.unmarshal", 1, text::json_unmarshal),
    ("lower", 1, text::lower),
    ("net.cidr_contains", 2, net::cidr_contains),
    ("net.cidr_expand", 1, net::cidr_expand),
    ("numbers.range", 2, number::range),
    ("semver.compare", 2, semver::compare),
    ("semver.is_valid", 1, semver::is_valid),
    ("sprintf", 2, sprintf::sprintf),
    ("time.add_date", 4, time::add_date),
    ("time.now_ns", 0, time::now_ns),
    ("time.parse_duration_ns", 1, time::parse_duration_ns),
    ("time.parse_rfc3339_ns", 1, time::parse_rfc3339_ns),
    ("to_number", 1, number::to_number),
    ("upper", 1, text::upper),
];

/// Puts the product's builtins before the engine's.
pub(super) fn install(engine: &mut Engine) -> anyhow::Result<()> {
    for (name, arguments, builtin) in BUILTINS {
        let answer = move |given: Vec<Value>| builtin(&given);
        engine.add_extension((*name).to_owned(), *arguments, Box::new(answer))?;
    }
    Ok(())
}
