//! The functions a policy may call: a table that is checked when a policy is loaded,
//! and one shared environment that holds their code.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use cel::common::types::{
    CelBool, CelDuration, CelInt, CelList, CelMap, CelString, CelTimestamp, DYN_TYPE, LIST_TYPE, STRING_TYPE,
    Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::meter;
use super::net::{CIDR_TYPE, Cidr, IP_TYPE, Ip, opaque};

type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Functions called as `name(..)`, with the numbers of arguments they take.
pub(super) const GLOBAL: &[(&str, &[usize])] = &[
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
pub(super) const MEMBER: &[(&str, &[usize])] = &[
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
    network(&mut env)?;
    sets(&mut env)?;
    metered(&mut env)?;
    Ok(env)
}

fn metered(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(ADD, ADD, vec![DYN_TYPE, DYN_TYPE], add)?;
    env.add_overload(WEIGH, WEIGH, vec![DYN_TYPE], weigh)?;
    env.add_overload(JOIN, "@join(list)", vec![LIST_TYPE], join)?;
    env.add_overload(JOIN, "@join(list,string)", vec![LIST_TYPE, STRING_TYPE], join)?;
    cel::add_overload!(env, fn replace: (CelString, CelString, CelString) -> Result<CelString>,
        name = REPLACE)?;
    cel::add_overload!(env, fn replace_some: (CelString, CelString, CelString, CelInt) -> Result<CelString>,
        name = REPLACE)?;
    cel::add_overload!(env, fn parse_timestamp: (CelString) -> Result<CelTimestamp>, name = TIMESTAMP)?;
    cel::add_overload!(env, fn same_timestamp: (CelTimestamp) -> CelTimestamp, name = TIMESTAMP)?;
    cel::add_overload!(env, fn epoch_timestamp: (CelInt) -> Result<CelTimestamp>, name = TIMESTAMP)?;
    cel::add_overload!(env, fn timestamp_millis: (CelTimestamp) -> CelInt, name = MILLISECONDS)?;
    cel::add_overload!(env, fn duration_millis: (CelDuration) -> CelInt, name = MILLISECONDS)?;
    cel::add_overload!(env, fn split: (CelString, CelString) -> Result<CelList>, name = SPLIT)?;
    cel::add_overload!(env, fn split_some: (CelString, CelString, CelInt) -> Result<CelList>, name = SPLIT)?;
    cel::add_overload!(env, fn matches: (CelString, Pattern) -> CelBool, name = MATCHES)
}

fn network(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(IP_TYPE.to_owned())?;
    env.add_type(CIDR_TYPE.to_owned())?;
    cel::add_overload!(env, fn ip: (CelString) -> Result<Ip>)?;
    cel::add_overload!(env, fn cidr: (CelString) -> Result<Cidr>)?;
    cel::add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    cel::add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    cel::add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    cel::add_overload!(env, fn ip_text: (Ip) -> CelString, name = "string")?;
    cel::add_overload!(env, fn cidr_text: (Cidr) -> CelString, name = "string")?;
    cel::add_member_overload!(env, fn family: (Ip) -> CelInt)?;
    cel::add_member_overload!(env, fn is_unspecified: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_loopback: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_global_unicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_link_local_multicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_link_local_unicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn contains_ip: (Cidr, Ip) -> CelBool, name = "containsIP")?;
    cel::add_member_overload!(env, fn contains_text: (Cidr, CelString) -> Result<CelBool>,
        name = "containsIP")?;
    cel::add_member_overload!(env, fn contains_cidr: (Cidr, Cidr) -> CelBool, name = "containsCIDR")?;
    cel::add_member_overload!(env, fn contains_cidr_text: (Cidr, CelString) -> Result<CelBool>,
        name = "containsCIDR")?;
    cel::add_member_overload!(env, fn address: (Cidr) -> Ip, name = "ip")?;
    cel::add_member_overload!(env, fn masked: (Cidr) -> Cidr)?;
    cel::add_member_overload!(env, fn prefix_length: (Cidr) -> CelInt)
}

fn sets(env: &mut Env) -> Result<(), DeclarationError> {
    let lists = || vec![LIST_TYPE, LIST_TYPE];
    env.add_overload("sets.contains", "sets.contains", lists(), |args| {
        pair(&args, |left, right| subset(right, left))
    })?;
    env.add_overload("sets.equivalent", "sets.equivalent", lists(), |args| {
        pair(&args, |left, right| Ok(subset(left, right)? && subset(right, left)?))
    })?;
    env.add_overload("sets.intersects", "sets.intersects", lists(), |args| {
        pair(&args, |left, right| {
            pay_for_pairs(left, right)?;
            Ok(left.inner().iter().any(|item| holds(right, item.as_ref())))
        })
    })
}

fn fault(function: &str, message: String) -> ExecutionError {
    ExecutionError::FunctionError { function: function.to_owned(), message }
}

/// What a call fails with once a budget is passed; the meter knows which one.
fn spent(function: &str) -> ExecutionError {
    fault(function, "the evaluation passed its budget".to_owned())
}

fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn pay(function: &str, nodes: usize, bytes: usize) -> Result<(), ExecutionError> {
    if meter::copy(length(nodes), length(bytes)) { Ok(()) } else { Err(spent(function)) }
}

/// Pays for a copy of `value` while walking it, so that the walk ends with the budget.
pub(super) fn pay_for(value: &dyn Val) -> bool {
    if let Some(text) = value.downcast_ref::<CelString>() {
        meter::copy(1, length(text.inner().len()))
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        meter::copy(1, 0) && list.inner().iter().all(|item| pay_for(item.as_ref()))
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        meter::copy(1, 0) && map.inner().values().all(|item| meter::copy(1, 32) && pay_for(item.as_ref()))
    } else {
        meter::copy(1, 0)
    }
}

fn weigh<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    match args.pop() {
        Some(value) if pay_for(value.as_ref()) => Ok(value),
        _ => Err(spent(WEIGH)),
    }
}

fn add<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let [left, right] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    if !pay_for(left.as_ref()) || !pay_for(right.as_ref()) {
        return Err(spent("_+_"));
    }
    let types = || vec![left.get_type().name().to_owned(), right.get_type().name().to_owned()];
    let adder = left.as_adder().ok_or_else(|| ExecutionError::no_such_overload("_+_", types()))?;
    Ok(CowVal::Owned(adder.add(right.as_ref())?.into_owned()))
}

fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let list = args.first().and_then(|list| list.downcast_ref::<CelList>());
    let separator = args.get(1).and_then(|text| text.downcast_ref::<CelString>());
    let separator = separator.map_or("", |text| text.inner());
    let mut parts: Vec<&str> = Vec::new();
    for item in list.into_iter().flat_map(|list| list.inner()) {
        let Some(text) = item.downcast_ref::<CelString>() else {
            return Err(fault("join", format!("an item is no string but {}", item.get_type().name())));
        };
        pay("join", 1, text.inner().len() + separator.len())?;
        parts.push(text.inner());
    }
    Ok(CowVal::owned(CelString::from(parts.join(separator))))
}

fn replace(
    text: &CelString<'_>,
    from: &CelString<'_>,
    to: &CelString<'_>,
) -> Result<CelString<'static>, ExecutionError> {
    replace_some(text, from, to, &CelInt::from(-1))
}

fn replace_some(
    text: &CelString<'_>,
    from: &CelString<'_>,
    to: &CelString<'_>,
    most: &CelInt,
) -> Result<CelString<'static>, ExecutionError> {
    let most = usize::try_from(*most.inner()).unwrap_or(usize::MAX);
    let found = text.inner().matches(from.inner()).take(most).count();
    pay("replace", 1, text.inner().len().saturating_add(found.saturating_mul(to.inner().len())))?;
    Ok(text.inner().replacen(from.inner(), to.inner(), most).into())
}

fn split(text: &CelString<'_>, separator: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    split_some(text, separator, &CelInt::from(-1))
}

fn split_some(
    text: &CelString<'_>,
    separator: &CelString<'_>,
    most: &CelInt,
) -> Result<CelList<'static>, ExecutionError> {
    let (text, separator) = (text.inner(), separator.inner());
    let most = usize::try_from(*most.inner()).unwrap_or(usize::MAX);
    let parts: Vec<&str> = match (most, separator) {
        (0, _) => Vec::new(),
        (_, "") => characters(text, most),
        _ => text.splitn(most, separator).collect(),
    };
    pay("split", parts.len(), text.len())?;
    let owned = |part: &str| -> Box<dyn Val> { Box::new(CelString::from(part.to_owned())) };
    Ok(CelList::from(parts.into_iter().map(owned).collect::<Vec<_>>()))
}

/// The characters of `text`, the last part holding what is left beyond `most` parts.
fn characters(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 == most {
            parts.push(rest);
            break;
        }
        let (part, tail) = rest.split_at(c.len_utf8());
        parts.push(part);
        rest = tail;
    }
    parts
}

/// Years 1 to 9999, as the specification has it.
fn ranged(time: chrono::DateTime<chrono::FixedOffset>) -> Option<CelTimestamp> {
    let year = chrono::Datelike::year(&time.naive_utc());
    (1..=9999).contains(&year).then(|| CelTimestamp::from(time))
}

/// Reads RFC 3339, with `T` between date and time and without leap seconds.
pub(super) fn timestamp_of(text: &str) -> Option<CelTimestamp> {
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't'));
    let leap = text.get(17..19) == Some("60");
    let time = chrono::DateTime::parse_from_rfc3339(text).ok().filter(|_| separated && !leap)?;
    ranged(time)
}

fn parse_timestamp(text: &CelString<'_>) -> Result<CelTimestamp, ExecutionError> {
    timestamp_of(text.inner()).ok_or_else(|| fault("timestamp", "not an RFC 3339 time".to_owned()))
}

fn same_timestamp(time: &CelTimestamp) -> CelTimestamp {
    time.clone()
}

fn epoch_timestamp(seconds: &CelInt) -> Result<CelTimestamp, ExecutionError> {
    chrono::DateTime::from_timestamp(*seconds.inner(), 0)
        .and_then(|time| ranged(time.fixed_offset()))
        .ok_or_else(|| fault("timestamp", "out of range".to_owned()))
}

fn timestamp_millis(time: &CelTimestamp) -> CelInt {
    CelInt::from(i64::from(time.inner().timestamp_subsec_millis()))
}

fn duration_millis(duration: &CelDuration) -> CelInt {
    CelInt::from(i64::from(duration.inner().subsec_nanos() / 1_000_000))
}

fn matches(text: &CelString<'_>, pattern: &Pattern) -> CelBool {
    CelBool::from(pattern.0.is_match(text.inner()))
}

fn holds(list: &CelList<'_>, wanted: &dyn Val) -> bool {
    list.inner().iter().any(|item| item.equals(wanted))
}

fn pay_for_pairs(left: &CelList<'_>, right: &CelList<'_>) -> Result<(), ExecutionError> {
    let pairs = length(left.inner().len()).saturating_mul(length(right.inner().len()));
    if meter::tick(pairs) { Ok(()) } else { Err(spent("sets")) }
}

fn subset(inner: &CelList<'_>, outer: &CelList<'_>) -> Result<bool, ExecutionError> {
    pay_for_pairs(inner, outer)?;
    Ok(inner.inner().iter().all(|item| holds(outer, item.as_ref())))
}

fn pair<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    test: impl Fn(&CelList<'v>, &CelList<'v>) -> Result<bool, ExecutionError>,
) -> Answer<'b, 'v> {
    let list = |at: usize| args.get(at).and_then(|arg| arg.downcast_ref::<CelList>());
    match (list(0), list(1)) {
        (Some(left), Some(right)) => Ok(CowVal::owned(CelBool::from(test(left, right)?))),
        _ => Err(ExecutionError::invalid_argument_count(2, args.len())),
    }
}

fn ip(text: &CelString<'_>) -> Result<Ip, ExecutionError> {
    Ip::parse(text.inner()).ok_or_else(|| fault("ip", "not an IP address".to_owned()))
}

fn cidr(text: &CelString<'_>) -> Result<Cidr, ExecutionError> {
    Cidr::parse(text.inner()).ok_or_else(|| fault("cidr", "not a network in CIDR notation".to_owned()))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    CelBool::from(Ip::parse(text.inner()).is_some())
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    CelBool::from(Cidr::parse(text.inner()).is_some())
}

fn is_canonical(text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(CelBool::from(ip(text)?.0.to_string() == text.inner()))
}

fn ip_text(ip: &Ip) -> CelString<'static> {
    ip.0.to_string().into()
}

fn cidr_text(cidr: &Cidr) -> CelString<'static> {
    format!("{}/{}", cidr.address, cidr.prefix).into()
}

fn family(ip: &Ip) -> CelInt {
    CelInt::from(ip.family())
}

fn is_unspecified(ip: &Ip) -> CelBool {
    CelBool::from(ip.0.is_unspecified())
}

fn is_loopback(ip: &Ip) -> CelBool {
    CelBool::from(ip.0.is_loopback())
}

fn is_global_unicast(ip: &Ip) -> CelBool {
    CelBool::from(ip.is_global_unicast())
}

fn is_link_local_multicast(ip: &Ip) -> CelBool {
    CelBool::from(ip.is_link_local_multicast())
}

fn is_link_local_unicast(ip: &Ip) -> CelBool {
    CelBool::from(ip.is_link_local_unicast())
}

fn contains_ip(network: &Cidr, address: &Ip) -> CelBool {
    CelBool::from(network.contains(*address))
}

fn contains_text(network: &Cidr, address: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(CelBool::from(network.contains(ip(address)?)))
}

fn contains_cidr(network: &Cidr, inner: &Cidr) -> CelBool {
    CelBool::from(network.contains_network(*inner))
}

fn contains_cidr_text(network: &Cidr, inner: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(CelBool::from(network.contains_network(cidr(inner)?)))
}

fn address(network: &Cidr) -> Ip {
    Ip(network.address)
}

fn masked(network: &Cidr) -> Cidr {
    network.masked()
}

fn prefix_length(network: &Cidr) -> CelInt {
    CelInt::from(i64::from(network.prefix))
}
