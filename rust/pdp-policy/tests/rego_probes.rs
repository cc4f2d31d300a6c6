//! Every probe is answered as OPA answers it, or refused when the policy is loaded.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_policy::rego::{QueryFault, QueryOptions, RegoSource, compile, query};
use pdp_policy::{Budget, Input, Source, Value};
use serde_json::Value as Json;

const CASES: &str = include_str!("rego_probes/cases.yaml");

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    name: String,
    rules: Vec<String>,
    module: String,
    /// A second module.
    #[serde(default)]
    library: Option<String>,
    #[serde(default)]
    input: Option<Json>,
    #[serde(default)]
    data: Option<Json>,
    #[serde(default)]
    want: Option<Json>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    ours: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Refused(String),
    Failed(String),
    Value(Json),
}

fn probes() -> Vec<Probe> {
    serde_norway::from_str(CASES).expect("cases are well formed")
}

impl Probe {
    fn modules(&self) -> Vec<Source> {
        let module = |path: &str, text: String| Source { path: path.to_owned(), text: Arc::from(text) };
        let library = self.library.iter().map(|text| module("lib.rego", text.clone()));
        [module("p.rego", format!("package p\n{}", self.module))].into_iter().chain(library).collect()
    }

    fn data(&self) -> Value {
        self.data.as_ref().map_or_else(|| Value::Map(pdp_policy::Map::default()), Value::from)
    }

    /// The answer as a decision gets it.
    fn evaluated(&self, input: &Json) -> Answer {
        let rules: Vec<&str> = self.rules.iter().map(String::as_str).collect();
        let (modules, data) = (self.modules(), self.data());
        let source =
            RegoSource { modules: &modules, data: &data, package: "p", rules: &rules, guaranteed: &[] };
        let program = match compile(&source) {
            Ok(program) => program,
            Err(faults) => return Answer::Refused(shown(&faults)),
        };
        let budget = Budget {
            time: Duration::from_secs(5),
            instructions: u64::MAX,
            memory_bytes: 1 << 24,
            now: SystemTime::UNIX_EPOCH,
        };
        match program.instantiate().evaluate(&Input::new(Value::from(input)), &budget) {
            Ok(value) => Answer::Value(Json::from(&value.expect("a package has an answer"))),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    /// The answer to a free query for the package.
    fn queried(&self) -> Answer {
        let options = QueryOptions { strict: false, checks: true };
        let input = self.input.as_ref().map(Value::from);
        match query(&self.modules(), &self.data(), input.as_ref(), "data.p = x", options) {
            Ok(rows) => {
                let value = rows.first().and_then(|row| row.get("x")).expect("a package has an answer");
                Answer::Value(Json::from(value))
            }
            Err(QueryFault::Refused(faults)) => Answer::Refused(shown(&faults)),
            Err(QueryFault::Failed(error)) => Answer::Failed(error.to_string()),
        }
    }

    fn asked(&self, document: &Json) -> Json {
        let rules = self.rules.iter().filter_map(|rule| Some((rule.clone(), document.get(rule)?.clone())));
        Json::Object(rules.collect())
    }

    /// What is wrong with `answer`.
    fn fault(&self, answer: &Answer) -> Option<String> {
        match (answer, &self.want) {
            (Answer::Refused(_), _) | (Answer::Failed(_), None) => None,
            (Answer::Failed(_), Some(_)) if self.ours.as_deref() == Some("error") => None,
            (Answer::Value(_), None) if self.ours.as_deref() == Some("untyped") => None,
            (Answer::Value(got), Some(want)) if self.ours.as_deref() == Some("inexact") => {
                let number = |value: &Json| value["r"].as_f64().expect("a number");
                let is_near = (number(got) - number(want)).abs() < 1e-12;
                (!is_near).then(|| format!("{}: {got}", self.name))
            }
            (Answer::Value(got), Some(want)) if same(&self.asked(got), &self.asked(want)) => None,
            _ => Some(format!("{}: {answer:?}, OPA: {:?} {:?}", self.name, self.want, self.error)),
        }
    }
}

fn shown(faults: &[pdp_policy::Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Equal as JSON, where 1 and 1.0 are the same number.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn decisions_answer_as_opa_or_are_refused_at_load() {
    let faults: Vec<String> =
        probes().iter().filter_map(|probe| probe.fault(&probe.evaluated(probe.input.as_ref()?))).collect();
    assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn queries_answer_as_opa_or_are_refused_at_load() {
    let faults: Vec<String> = probes().iter().filter_map(|probe| probe.fault(&probe.queried())).collect();
    assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_refusal_names_row_and_column() {
    for probe in probes() {
        if let Answer::Refused(message) = probe.queried() {
            let place = message.strip_prefix("p.rego:").unwrap_or_default();
            let (row, rest) = place.split_once(':').unwrap_or_default();
            let (column, _) = rest.split_once(':').unwrap_or_default();
            let is_place = row.parse::<u32>().is_ok() && column.parse::<u32>().is_ok();
            assert!(is_place, "{}: {message}", probe.name);
        }
    }
}

#[test]
fn expectations_are_those_of_a_real_opa() {
    let Some(opa) = std::env::var_os("PDP_OPA") else {
        println!("not compared: PDP_OPA names no opa binary");
        return;
    };
    let folder = std::env::temp_dir().join(format!("rego-probes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for probe in probes() {
        let answer = ask(Path::new(&opa), &folder, &probe);
        match (&probe.want, answer.pointer("/result/0/expressions/0/value")) {
            (Some(want), Some(value)) => assert!(same(want, value), "{}: {value}", probe.name),
            (None, None) => assert!(answer.get("errors").is_some(), "{}: {answer}", probe.name),
            _ => panic!("{}: {answer}", probe.name),
        }
    }
    std::fs::remove_dir_all(&folder).expect("the temporary folder goes");
}

fn ask(opa: &Path, folder: &Path, probe: &Probe) -> Json {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file is written");
        path
    };
    let mut command = Command::new(opa);
    command.args(["eval", "-f", "json", "-d"]);
    command.arg(write("p.rego", format!("package p\n{}", probe.module)));
    if let Some(library) = &probe.library {
        command.arg("-d").arg(write("lib.rego", library.clone()));
    }
    if let Some(data) = &probe.data {
        command.arg("-d").arg(write("data.json", data.to_string()));
    }
    if let Some(input) = &probe.input {
        command.arg("-i").arg(write("input.json", input.to_string()));
    }
    let output = command.arg("data.p").output().expect("opa runs");
    serde_json::from_slice(&output.stdout).expect("opa answers JSON")
}
