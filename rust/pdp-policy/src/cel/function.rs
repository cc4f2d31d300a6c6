//! The functions a policy may call: a table that is checked when a policy is loaded,
//! and one shared environment that holds their code.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::net::opaque;
use super::{metered, network};

/// Functions called as `name(..)`, with the numbers of arguments they take.
pub const FUNCTIONS: &[(&str, &[usize])] = &[
    ("base64.decode", &[1]),
    ("base64.encode", &[1]),
    ("bool", &[1]),
    ("bytes", &[1]),
    ("cel.bind", &[3]),
    ("cidr", &[1]),
    ("double", &[1]),
    ("duration", &[1]),
    ("dyn", &[1]),
    ("int", &[1]),
    ("ip", &[1]),
    ("ip.isCanonical", &[1]),
    ("isCIDR", &[1]),
    ("isIP", &[1]),
    ("matches", &[2]),
    ("math.abs", &[1]),
    ("math.bitAnd", &[2]),
    ("math.bitNot", &[1]),
    ("math.bitOr", &[2]),
    ("math.bitShiftLeft", &[2]),
    ("math.bitShiftRight", &[2]),
    ("math.bitXor", &[2]),
    ("math.ceil", &[1]),
    ("math.floor", &[1]),
    ("math.greatest", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("math.isFinite", &[1]),
    ("math.isInf", &[1]),
    ("math.isNaN", &[1]),
    ("math.least", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("math.round", &[1]),
    ("math.sign", &[1]),
    ("math.sqrt", &[1]),
    ("math.trunc", &[1]),
    ("network", &[3]),
    ("sets.contains", &[2]),
    ("sets.equivalent", &[2]),
    ("sets.intersects", &[2]),
    ("size", &[1]),
    ("string", &[1]),
    ("strings.quote", &[1]),
    ("timestamp", &[1]),
    ("type", &[1]),
    ("uint", &[1]),
];

/// Functions called as `target.name(..)`, with the numbers of arguments they take.
pub const METHODS: &[(&str, &[usize])] = &[
    ("charAt", &[1]),
    ("contains", &[1]),
    ("containsCIDR", &[1]),
    ("containsIP", &[1]),
    ("endsWith", &[1]),
    ("family", &[0]),
    ("format", &[1]),
    ("getDate", &[0, 1]),
    ("getDayOfMonth", &[0, 1]),
    ("getDayOfWeek", &[0, 1]),
    ("getDayOfYear", &[0, 1]),
    ("getFullYear", &[0, 1]),
    ("getHours", &[0, 1]),
    ("getMilliseconds", &[0, 1]),
    ("getMinutes", &[0, 1]),
    ("getMonth", &[0, 1]),
    ("getSeconds", &[0, 1]),
    ("indexOf", &[1, 2]),
    ("ip", &[0]),
    ("isGlobalUnicast", &[0]),
    ("isLinkLocalMulticast", &[0]),
    ("isLinkLocalUnicast", &[0]),
    ("isLoopback", &[0]),
    ("isUnspecified", &[0]),
    ("join", &[0, 1]),
    ("lastIndexOf", &[1, 2]),
    ("lowerAscii", &[0]),
    ("masked", &[0]),
    ("matches", &[1]),
    ("prefixLength", &[0]),
    ("replace", &[2, 3]),
    ("reverse", &[0]),
    ("size", &[0]),
    ("split", &[1, 2]),
    ("startsWith", &[1]),
    ("substring", &[1, 2]),
    ("trim", &[0]),
    ("upperAscii", &[0]),
];

/// Macros, with the numbers of arguments they take; expanded while parsing, so that a call
/// that is still there has a wrong number.
pub(super) const MACROS: &[(&str, &str)] = &[
    ("all", "2"),
    ("exists", "2"),
    ("exists_one", "2"),
    ("existsOne", "2"),
    ("filter", "2"),
    ("has", "1"),
    ("map", "2 or 3"),
];

/// Names that denote types.
pub(super) const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "list",
    "map",
    "net.CIDR",
    "net.IP",
    "null_type",
    "string",
    "type",
    "uint",
];

/// `+` that is metered: it copies both sides.
pub(super) const ADD: &str = "@add";
/// `replace` that is metered.
pub(super) const REPLACE: &str = "@replace";
/// `join` that is metered.
pub(super) const JOIN: &str = "@join";
/// `split` that is metered.
pub(super) const SPLIT: &str = "@split";
/// Passes its argument on after paying for a copy of it.
pub(super) const WEIGH: &str = "@weigh";
/// `timestamp`, which the engine also reads from texts that are not RFC 3339.
pub(super) const TIMESTAMP: &str = "@timestamp";
/// `getMilliseconds`, which the engine answers for durations with all of their milliseconds.
pub(super) const MILLISECONDS: &str = "@milliseconds";
/// What a loop goes over, in an order that is always the same, with the copy paid for.
pub(super) const ITEMS: &str = "@items";
/// `matches` with a pattern made ready when the policy was loaded.
pub(super) const MATCHES: &str = "@matches";

/// A pattern made ready.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Arc<regex::Regex>);

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

opaque!(Pattern, PATTERN_TYPE);

/// The environment all evaluations share, or why it could not be built.
pub(super) static ENVIRONMENT: LazyLock<Result<Arc<Env>, DeclarationError>> =
    LazyLock::new(|| build().map(Arc::new));

fn build() -> Result<Env, DeclarationError> {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)?;
    env.add_extension(extensions::math)?;
    env.add_extension(extensions::encoders)?;
    network::register(&mut env)?;
    metered::register(&mut env)?;
    Ok(env)
}

/// An error of `function`.
pub(super) fn fault(function: &str, message: String) -> ExecutionError {
    ExecutionError::FunctionError { function: function.to_owned(), message }
}
