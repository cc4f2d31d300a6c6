//! Which builtins OPA has, and which of them the engine answers differently.

use std::collections::HashSet;
use std::sync::LazyLock;

use regorus::unstable::BUILTINS;

/// Names of OPA 1.22's builtins with their number of arguments, as `opa capabilities --current` lists them.
static OPA: LazyLock<Vec<(&'static str, usize)>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let (name, arguments) = line.split_once(' ')?;
        Some((name, arguments.trim().parse().ok()?))
    };
    include_str!("opa_builtins.txt").lines().filter_map(line).collect()
});

static DEPRECATED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    HashSet::from([
        "all",
        "any",
        "cast_array",
        "cast_boolean",
        "cast_null",
        "cast_object",
        "cast_set",
        "cast_string",
        "net.cidr_overlap",
        "re_match",
        "set_diff",
    ])
});

/// Builtins the engine has and answers differently from OPA for some argument, each with what to write instead.
const DIFFERENT: &[(&str, &str)] = &[
    ("json.marshal_with_options", "use `json.marshal`"),
    ("regex.is_valid", "write the pattern into the policy, where it is checked at load"),
    ("regex.template_match", "use `regex.match`"),
    ("json.match_schema", "check the fields the rule needs one by one"),
    ("json.verify_schema", "check the schema before deploying"),
    ("numbers.range_step", "use `numbers.range` and filter with `%`"),
    ("strings.count", "use `count(indexof_n(text, part))` where parts cannot overlap"),
    ("strings.replace_n", "chain `replace`"),
    ("units.parse", "supply plain numbers"),
    ("units.parse_bytes", "supply plain numbers of bytes"),
    ("urlquery.decode", "supply the decoded text as input"),
    ("urlquery.decode_object", "supply the decoded fields as input"),
    ("urlquery.encode", "compare decoded texts"),
    ("urlquery.encode_object", "compare decoded fields"),
    ("uuid.parse", "use `regex.match`"),
    ("yaml.is_valid", "supply data as JSON"),
    ("yaml.unmarshal", "supply data as JSON"),
    ("yaml.marshal", "use `json.marshal`"),
    ("regex.globs_match", "use `glob.match`"),
    ("opa.runtime", "supply the setting as data"),
    ("rand.intn", "supply the choice as input"),
];

/// Builtins whose answer depends on more than their arguments.
const IMPURE: &[&str] = &[
    "http.send",
    "net.lookup_ip_addr",
    "opa.runtime",
    "print",
    "rand.intn",
    "time.now_ns",
    "trace",
    "uuid.rfc4122",
];

/// What is known of a builtin's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Answers as OPA; takes so many arguments, `None` for any number.
    Faithful(Option<usize>),
    /// OPA has it, the engine does not.
    Missing,
    /// Answers differently; what to write instead.
    Different(&'static str),
    /// OPA refuses it in Rego v1.
    Deprecated,
    /// OPA has no such builtin.
    Unknown,
}

/// Looks up the builtin `name`.
pub(super) fn standing(name: &str) -> Standing {
    if name == "print" {
        return Standing::Faithful(None);
    }
    let Some((_, arguments)) = OPA.iter().find(|(known, _)| *known == name) else {
        return Standing::Unknown;
    };
    if DEPRECATED.contains(name) {
        return Standing::Deprecated;
    }
    if let Some((_, instead)) = DIFFERENT.iter().find(|(different, _)| *different == name) {
        return Standing::Different(instead);
    }
    // The engine's stub of it answers undefined.
    if name == "http.send" || !BUILTINS.contains_key(name) {
        return Standing::Missing;
    }
    Standing::Faithful(Some(*arguments))
}

/// Whether `name` depends on more than its arguments.
pub(super) fn is_impure(name: &str) -> bool {
    IMPURE.contains(&name)
}

/// What to do about a builtin the engine lacks.
pub(super) fn instead_of_missing(name: &str) -> &'static str {
    match name {
        "http.send" => "supply what it would fetch as a fact or as data",
        _ if name.starts_with("io.jwt.") => {
            "have the enforcement point verify the token and read its claims from the input"
        }
        _ if name.starts_with("crypto.") => "compute it before the request and supply it as input",
        _ if name.starts_with("net.cidr") => "use `net.cidr_contains`",
        "net.lookup_ip_addr" => "supply the address as a fact",
        "array.flatten" => "use a comprehension over the nested lists",
        "strings.split_n" => "use `split`",
        _ => "supply its answer as input or data",
    }
}
