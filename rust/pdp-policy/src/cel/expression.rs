//! Evaluation of one expression with typed bindings, for comparing this engine with the
//! specification's own cases.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::Context;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
    CelTimestamp, CelType, CelUInt, Kind,
};
use cel::common::value::Val;
use serde_json::{Value as Json, json};

use super::lower::Pool;
use super::net::{Cidr, Ip};
use super::plan::{Entry, Plan, with_frame};
use super::{convert, function, lower, meter, parse};
use crate::program::Budget;
use crate::schema::Schema;
use crate::value::Value;

/// What an expression came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluation {
    /// Refused when it was loaded.
    Refused(Vec<String>),
    /// Failed when it was evaluated.
    Failed(String),
    /// Its value, tagged with its type: `{"int": "1"}`, `{"uint": "1"}`, `{"double": 1.5}`
    /// (or `"NaN"`, `"Infinity"`, `"-Infinity"`), `{"string": ..}`, `{"bool": ..}`,
    /// `{"null": null}`, `{"bytes": base64}`, `{"list": [tagged]}`, `{"map": [[tagged key,
    /// tagged value]]}` sorted by key, `{"timestamp": RFC 3339}`, `{"duration": "1.5s"}`,
    /// `{"type": name}`, `{"net.IP": text}`, `{"net.CIDR": text}`.
    Value(Json),
}

/// Evaluates `expression` with `bindings`, each a value tagged as in [`Evaluation::Value`].
///
/// With `checks` it is loaded as a policy's expression is; without, the engine below
/// evaluates it as it stands, which shows what the checks keep policies from.
pub fn evaluate_expression(
    expression: &str,
    bindings: &serde_json::Map<String, Json>,
    budget: &Budget,
    checks: bool,
) -> Evaluation {
    let tree = match parse::parse(expression) {
        Ok(tree) => tree,
        Err(faults) => return refused(faults),
    };
    let mut pool = Pool::default();
    let unit = if checks {
        let names = bindings.keys().cloned().collect();
        match lower::lower_bound(expression, tree, Schema::default(), &[], names, &mut pool) {
            Ok(unit) => unit,
            Err(faults) => return refused(faults),
        }
    } else {
        lower::Unit { tree, steps: 1, depth: 1, kind: super::types::Kind::Unknown }
    };
    let mut values = Vec::new();
    for (name, tagged) in bindings {
        match from_tagged(tagged) {
            Some(value) => values.push((name, value)),
            None => return Evaluation::Refused(vec![format!("the binding `{name}` has no known type")]),
        }
    }
    let plan = Plan {
        file: String::new(),
        units: Vec::new(),
        variables: Vec::new(),
        pool,
        entry: Entry::Expression(0),
    };
    meter::start(budget);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        with_frame(&plan, budget.now, |frame, context: &mut Context<'_, '_>| {
            for (name, value) in values {
                context.add_variable_as_val(name.as_str(), value);
            }
            let evaluated = cel::Value::resolve_val(&unit.tree, context);
            evaluated.map(|value| to_tagged(value.as_ref())).map_err(|error| frame.describe(&error))
        })
    }));
    match (meter::finish(), outcome) {
        (Err(error), _) => Evaluation::Failed(error.to_string()),
        (Ok(()), Err(_)) => Evaluation::Failed("the engine failed".to_owned()),
        (Ok(()), Ok(None)) => Evaluation::Failed("the function library cannot be built".to_owned()),
        (Ok(()), Ok(Some(Err(message)))) => Evaluation::Failed(message),
        (Ok(()), Ok(Some(Ok(value)))) => Evaluation::Value(value),
    }
}

fn refused(faults: Vec<parse::Fault>) -> Evaluation {
    Evaluation::Refused(faults.into_iter().map(|fault| fault.message).collect())
}

fn to_tagged(value: &dyn Val) -> Json {
    let known = match value.get_type().kind() {
        Kind::NullType => Some(json!({ "null": null })),
        Kind::Boolean => value.downcast_ref::<CelBool>().map(|v| json!({ "bool": v.inner() })),
        Kind::Int => value.downcast_ref::<CelInt>().map(|v| json!({ "int": v.inner().to_string() })),
        Kind::UInt => value.downcast_ref::<CelUInt>().map(|v| json!({ "uint": v.inner().to_string() })),
        Kind::Double => value.downcast_ref::<CelDouble>().map(|v| json!({ "double": double(*v.inner()) })),
        Kind::String => value.downcast_ref::<CelString>().map(|v| json!({ "string": v.inner() })),
        Kind::Bytes => value.downcast_ref::<CelBytes>().map(|v| {
            let text = Json::from(&Value::Bytes(Arc::from(v.inner())));
            json!({ "bytes": text })
        }),
        Kind::Timestamp => {
            value.downcast_ref::<CelTimestamp>().map(|v| json!({ "timestamp": convert::timestamp(v) }))
        }
        Kind::Duration => {
            value.downcast_ref::<CelDuration>().map(|v| json!({ "duration": convert::duration(v) }))
        }
        Kind::Type => value.downcast_ref::<CelType>().map(|v| json!({ "type": v.name() })),
        Kind::List => value.downcast_ref::<CelList>().map(|list| {
            let items: Vec<Json> = list.inner().iter().map(|item| to_tagged(item.as_ref())).collect();
            json!({ "list": items })
        }),
        Kind::Map => value.downcast_ref::<CelMap>().map(map),
        _ => None,
    };
    known.unwrap_or_else(|| {
        if let Some(Ip(ip)) = value.downcast_ref::<Ip>() {
            return json!({ "net.IP": ip.to_string() });
        }
        if let Some(network) = value.downcast_ref::<Cidr>() {
            return json!({ "net.CIDR": format!("{}/{}", network.address, network.prefix) });
        }
        json!({ "other": value.get_type().name() })
    })
}

fn map(map: &CelMap<'_>) -> Json {
    let key = |key: &CelMapKey<'_>| match key {
        CelMapKey::Bool(v) => json!({ "bool": v.inner() }),
        CelMapKey::Int(v) => json!({ "int": v.inner().to_string() }),
        CelMapKey::UInt(v) => json!({ "uint": v.inner().to_string() }),
        CelMapKey::String(v) => json!({ "string": v.inner() }),
    };
    let mut entries: Vec<(String, Json)> = map
        .inner()
        .iter()
        .map(|(k, v)| (key(k).to_string(), json!([key(k), to_tagged(v.as_ref())])))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    json!({ "map": entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>() })
}

fn double(number: f64) -> Json {
    match number {
        n if n.is_nan() => json!("NaN"),
        n if n.is_infinite() => json!(if n > 0.0 { "Infinity" } else { "-Infinity" }),
        n => json!(n),
    }
}

fn from_tagged(tagged: &Json) -> Option<Box<dyn Val>> {
    let (tag, value) = tagged.as_object().filter(|entries| entries.len() == 1)?.iter().next()?;
    let text = || value.as_str();
    Some(match tag.as_str() {
        "null" => Box::new(CelNull),
        "bool" => Box::new(CelBool::from(value.as_bool()?)),
        "int" => Box::new(CelInt::from(text()?.parse::<i64>().ok()?)),
        "uint" => Box::new(CelUInt::from(text()?.parse::<u64>().ok()?)),
        "double" => Box::new(CelDouble::from(value.as_f64().or_else(|| text()?.parse().ok())?)),
        "string" => Box::new(CelString::from(text()?.to_owned())),
        "bytes" => Box::new(CelBytes::from(from_base64(text()?)?)),
        "list" => {
            let items = value.as_array()?.iter().map(from_tagged).collect::<Option<Vec<_>>>()?;
            Box::new(CelList::from(items))
        }
        "map" => {
            let entry = |entry: &Json| Some((key(entry.get(0)?)?, from_tagged(entry.get(1)?)?));
            let entries = value.as_array()?.iter().map(entry).collect::<Option<HashMap<_, _>>>()?;
            Box::new(CelMap::from(entries))
        }
        "timestamp" => Box::new(CelTimestamp::from(chrono::DateTime::parse_from_rfc3339(text()?).ok()?)),
        "duration" => Box::new(CelDuration::from(seconds(text()?)?)),
        "type" => Box::new(named_type(text()?)?),
        _ => return None,
    })
}

/// The type value that the name denotes to an expression.
fn named_type(name: &str) -> Option<CelType> {
    let environment = function::ENVIRONMENT.as_ref().ok()?;
    environment.types().find_type(name).map(CelType::from)
}

fn key(tagged: &Json) -> Option<CelMapKey<'static>> {
    let value = from_tagged(tagged)?;
    let value: &dyn Val = value.as_ref();
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Some(CelMapKey::String(CelString::from(text.inner().to_owned())));
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Some(CelMapKey::Int(CelInt::from(*number.inner())));
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Some(CelMapKey::UInt(CelUInt::from(*number.inner())));
    }
    value.downcast_ref::<CelBool>().map(|truth| CelMapKey::Bool(CelBool::from(*truth.inner())))
}

fn seconds(text: &str) -> Option<chrono::Duration> {
    let text = text.strip_suffix('s')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let nanos = if text.starts_with('-') { -nanos } else { nanos };
    Some(chrono::Duration::seconds(whole.parse().ok()?) + chrono::Duration::nanoseconds(nanos))
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut group, mut bits) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}
