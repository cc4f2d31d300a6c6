//! Compiling and evaluating Rego: answers, errors, budgets, purity and what is refused.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pdp_policy::rego::{RegoSource, compile};
use pdp_policy::{
    Budget, Diagnostic, DiagnosticCode, EvalError, Input, Key, Map, Program, Source, Span, Value,
};
use serde_json::json;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: Arc::from(text) }
}

fn compiled(modules: &[&str], guaranteed: &[&str]) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    let modules: Vec<Source> =
        modules.iter().enumerate().map(|(at, text)| source(&format!("m{at}.rego"), text)).collect();
    let data = Value::from(&json!({"blocked": {"x": true}, "limits": {"max": 3}}));
    let rules = ["allow", "deny", "obligations"];
    compile(&RegoSource { modules: &modules, data: &data, package: "p", rules: &rules, guaranteed })
}

fn budget() -> Budget {
    Budget {
        time: Duration::from_secs(5),
        instructions: u64::MAX,
        memory_bytes: 1 << 24,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
    }
}

fn answered(modules: &[&str], input: serde_json::Value) -> Result<serde_json::Value, EvalError> {
    let program = compiled(modules, &[]).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
    let answer = program.instantiate().evaluate(&Input::new(Value::from(&input)), &budget())?;
    Ok(serde_json::Value::from(&answer.expect("a package has an answer")))
}

fn refused(module: &str) -> Vec<Diagnostic> {
    compiled(&[module], &[]).err().unwrap_or_else(|| panic!("accepted: {module}"))
}

#[test]
fn answer_holds_each_defined_rule() {
    let module = "package p\nallow if input.ok\ndeny contains m if some m in input.why";
    let answer = answered(&[module], json!({"ok": true, "why": ["b", "a"]}));
    assert_eq!(answer, Ok(json!({"allow": true, "deny": ["a", "b"]})));
}

#[test]
fn undefined_rules_leave_the_map_empty() {
    assert_eq!(answered(&["package p\nallow if input.ok"], json!({})), Ok(json!({})));
}

#[test]
fn rules_of_other_packages_are_shared() {
    let library = "package lib.net\nlocal(ip) if net.cidr_contains(\"10.0.0.0/8\", ip)";
    let module = "package p\nimport data.lib.net\nallow if net.local(input.ip)";
    let answer = answered(&[module, library], json!({"ip": "10.1.1.1"}));
    assert_eq!(answer, Ok(json!({"allow": true})));
}

#[test]
fn evaluator_keeps_nothing_between_inputs() {
    let program = compiled(&["package p\nallow if input.ok"], &[]).expect("compiles");
    let mut evaluator = program.instantiate();
    for ok in [true, false, true] {
        let input = Input::new(Value::from(&json!({"ok": ok})));
        let answer = evaluator.evaluate(&input, &budget()).expect("evaluates").expect("answers");
        assert_eq!(answer.get("allow").is_some(), ok);
    }
}

#[test]
fn programs_past_those_prepared_at_load_answer_too() {
    let programs: Vec<_> = (0..1_002)
        .map(|at| compiled(&[&format!("package p\nallow := {at}")], &[]).expect("compiles"))
        .collect();
    for (at, program) in programs.iter().enumerate().skip(998) {
        let answer = program.instantiate().evaluate(&Input::new(Value::Map(Map::default())), &budget());
        let answer = answer.expect("evaluates").expect("answers");
        assert_eq!(answer.get("allow"), Some(&Value::Int(i64::try_from(at).expect("fits"))));
    }
}

#[test]
fn conflict_is_an_error_with_its_place() {
    let module = "package p\nallow := true if input.a\nallow := false if input.b";
    let error = answered(&[module], json!({"a": 1, "b": 1})).expect_err("conflicts");
    assert!(matches!(&error, EvalError::Policy { message } if message.starts_with("m0.rego:")), "{error:?}");
}

#[test]
fn now_is_the_time_of_the_request() {
    let answer = answered(&["package p\nallow := time.now_ns()"], json!({}));
    assert_eq!(answer, Ok(json!({"allow": 1_000_000_000_000_i64})));
}

#[test]
fn whole_floats_are_integers() {
    let module = "package p\nallow if input.n == 5\ndeny := sprintf(\"%d\", [input.n])";
    assert_eq!(answered(&[module], json!({"n": 5.0})), Ok(json!({"allow": true, "deny": "5"})));
}

#[test]
fn looping_policy_ends_within_twice_its_time() {
    let module = "package p\nallow if {\n some a in numbers.range(1, 9000)\n some b in numbers.range(1, 9000)\n a + b == 0\n}";
    let program = compiled(&[module], &[]).expect("compiles");
    let limit = Duration::from_millis(200);
    let started = Instant::now();
    let answer = program
        .instantiate()
        .evaluate(&Input::new(Value::Map(Map::default())), &Budget { time: limit, ..budget() });
    assert_eq!(answer, Err(EvalError::Timeout));
    assert!(started.elapsed() < 2 * limit, "{:?}", started.elapsed());
}

#[test]
fn instruction_budget_is_named_when_it_is_the_smaller() {
    let module = "package p\nallow if {\n some a in numbers.range(1, 9000)\n some b in numbers.range(1, 9000)\n a + b == 0\n}";
    let program = compiled(&[module], &[]).expect("compiles");
    let few = Budget { instructions: 20_000, ..budget() };
    let answer = program.instantiate().evaluate(&Input::new(Value::Map(Map::default())), &few);
    assert_eq!(answer, Err(EvalError::Instructions));
}

#[test]
fn timeout_inside_a_function_is_not_swallowed() {
    let module = "package p\ndefault f(_) := true\nf(x) if {\n some a in numbers.range(1, 90000)\n some b in numbers.range(1, 90000)\n a + b == x\n}\nallow if f(0)";
    let program = compiled(&[module], &[]).expect("compiles");
    let short = Budget { time: Duration::from_millis(100), ..budget() };
    let answer = program.instantiate().evaluate(&Input::new(Value::Map(Map::default())), &short);
    assert_eq!(answer, Err(EvalError::Timeout));
}

#[test]
fn unbounded_range_is_a_memory_error() {
    let answer = answered(&["package p\nallow if count(numbers.range(1, 1000000000000)) > 0"], json!({}));
    assert_eq!(answer, Err(EvalError::Memory));
}

#[test]
fn unbounded_network_is_a_memory_error() {
    let answer = answered(&["package p\nallow if count(net.cidr_expand(\"10.0.0.0/8\")) > 0"], json!({}));
    assert_eq!(answer, Err(EvalError::Memory));
}

#[test]
fn input_and_answer_are_held_to_the_memory_budget() {
    let small = Budget { memory_bytes: 1_000, ..budget() };
    let program =
        compiled(&["package p\nallow := numbers.range(1, 1000)\ndeny if input.x"], &[]).expect("compiles");
    let mut evaluator = program.instantiate();
    let answer = evaluator.evaluate(&Input::new(Value::Map(Map::default())), &small);
    assert_eq!(answer, Err(EvalError::Memory));
    let large = Input::new(Value::from(&json!({"x": "y".repeat(2_000)})));
    assert_eq!(evaluator.evaluate(&large, &small), Err(EvalError::Memory));
}

#[test]
fn deep_input_is_an_error() {
    let mut value = Value::Null;
    for _ in 0..10_000 {
        value = Value::from(vec![value]);
    }
    let input = Input::new(Value::Map([(Key::from("x"), value)].into_iter().collect()));
    let program = compiled(&["package p\nallow if input.x"], &[]).expect("compiles");
    let answer = program.instantiate().evaluate(&input, &budget());
    assert!(matches!(answer, Err(EvalError::Policy { .. })), "{answer:?}");
}

#[test]
fn guaranteed_input_may_be_negated() {
    let module = "package p\nallow if not startswith(input.subject.id, \"bot-\")";
    assert!(compiled(&[module], &["input.subject.id"]).is_ok());
    assert!(compiled(&[module], &["input.subject.id.deeper"]).is_ok());
    assert!(compiled(&[module], &["input.subject"]).is_err());
    assert!(compiled(&[module], &["input.subject.idx"]).is_err());
}

#[test]
fn replacing_the_input_voids_guarantees() {
    let module = "package p\nq if not input.subject.id == \"x\"\nallow if q with input as {}";
    assert!(compiled(&[module], &["input.subject.id"]).is_err());
}

#[test]
fn whole_path_of_data_may_be_negated() {
    assert!(compiled(&["package p\nallow if not data.limits.max > 5"], &[]).is_ok());
    assert!(compiled(&["package p\nallow if not data.limits.nope > 5"], &[]).is_err());
}

#[test]
fn rule_with_default_may_be_negated() {
    let module = "package p\ndefault level := 0\nlevel := input.level\nallow if not level > 3";
    assert!(compiled(&[module], &[]).is_ok());
    let without = "package p\nlevel := input.level\nallow if not level > 3";
    assert!(compiled(&[without], &[]).is_err());
}

#[test]
fn refusal_names_place_and_fix() {
    let faults = refused("package p\n\nallow if {\n  not input.user in {\"a\"}\n}\n");
    let fault = faults.first().expect("a fault");
    assert_eq!(fault.code, DiagnosticCode::RegoConstructDiffers);
    assert_eq!((fault.file.as_str(), fault.span), ("m0.rego", Some(Span { row: 4, column: 7 })));
    assert!(fault.message.contains("`x := input.user`"), "{fault}");
}

#[test]
fn missing_builtins_are_refused_by_name() {
    for call in
        ["http.send({})", "io.jwt.decode(input.t)", "crypto.sha256(input.t)", "net.cidr_merge(input.t)"]
    {
        let faults = refused(&format!("package p\nallow if {call}"));
        let name = call.split('(').next().unwrap_or_default();
        assert!(
            faults.iter().any(|f| f.code == DiagnosticCode::RegoBuiltinMissing && f.message.contains(name)),
            "{faults:?}"
        );
    }
}

#[test]
fn syntax_error_has_row_and_column() {
    let faults = refused("package p\nallow if {\n  x := \n}");
    assert!(faults.iter().all(|fault| fault.code == DiagnosticCode::RegoSyntax && fault.span.is_some()));
}

#[test]
fn every_faulty_module_is_reported() {
    let faults = compiled(&["package p\nallow if {", "package q\nx := := 1"], &[]).err().unwrap_or_default();
    let files: Vec<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    assert_eq!(files, ["m0.rego", "m1.rego"]);
}

#[test]
fn absent_package_and_rules_are_refused() {
    let other = compiled(&["package other\nallow := true"], &[]).err().unwrap_or_default();
    assert!(other.iter().all(|fault| fault.code == DiagnosticCode::RegoEntrypoint) && !other.is_empty());
    let none = compiled(&["package p\nx := true"], &[]).err().unwrap_or_default();
    assert!(none.iter().all(|fault| fault.code == DiagnosticCode::RegoEntrypoint) && !none.is_empty());
}

#[test]
fn clock_makes_a_program_impure_wherever_it_is_read() {
    let is_pure = |module: &str| compiled(&[module], &[]).expect("compiles").is_pure();
    assert!(is_pure("package p\nallow if input.x"));
    assert!(!is_pure("package p\nallow if input.x\nunused if time.now_ns() > 1"));
    assert!(!is_pure("package p\nallow if { xs := [t | t := time.now_ns()]; count(xs) > 0 }"));
}

#[test]
fn recursion_is_refused() {
    for module in [
        "package p\nallow if f(3)\nf(x) := f(x - 1)",
        "package p\nallow if a\na if b\nb if a",
        "package p\nallow if data.p.allow",
        "package p\nallow if data.p",
    ] {
        assert!(compiled(&[module], &[]).is_err(), "{module}");
    }
}

/// Runs on a stack as small as a worker's.
fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    const WORKER_STACK: usize = 2 << 20;
    std::thread::Builder::new()
        .stack_size(WORKER_STACK)
        .spawn(work)
        .expect("spawns")
        .join()
        .expect("does not overflow");
}

#[test]
fn deep_and_long_policies_are_refused_without_overflow() {
    on_small_stack(|| {
        let brackets = format!("package p\nallow := {}1{}", "[\n".repeat(50_000), "\n]".repeat(50_000));
        let operators = format!("package p\nallow := 1{}", " +\n1".repeat(15_000));
        let negations = format!("package p\nallow if {} x", "not\n".repeat(15_000));
        let statements = format!("package p\nallow if {{\n{}}}", "some _ in [1]\n".repeat(5_000));
        let mut rules = String::from("package p\nallow if r0\n");
        for at in 0..5_000 {
            writeln!(rules, "r{at} if r{}", at + 1).expect("writes");
        }
        for module in [brackets, operators, negations, statements, rules] {
            assert!(compiled(&[&module], &[]).is_err(), "{}", module.get(..60).unwrap_or(&module));
        }
    });
}

#[test]
fn longest_accepted_chain_fits_the_stack() {
    on_small_stack(|| {
        let mut module = String::from("package p\nallow if f0(1)\n");
        for at in 0..40 {
            writeln!(
                module,
                "f{at}(x) := y if {{\n some i in [x]\n some j in [i]\n y := f{}([k | k := j][0])\n}}",
                at + 1
            )
            .expect("writes");
        }
        module.push_str("f40(x) := x\n");
        assert_eq!(answered(&[&module], json!({})), Ok(json!({"allow": true})));
    });
}

#[test]
fn widest_accepted_body_fits_the_stack() {
    on_small_stack(|| {
        let mut module = String::from("package p\nallow if {\n");
        for at in 0..100 {
            writeln!(module, " some x{at} in [1]").expect("writes");
        }
        module.push_str("}\n");
        assert_eq!(answered(&[&module], json!({})), Ok(json!({"allow": true})));
    });
}

#[test]
fn deepest_accepted_nesting_fits_the_stack() {
    on_small_stack(|| {
        for (calls, loops) in [(24, 0), (24, 90), (0, 90), (0, 0), (24, 4)] {
            for chain in (1..400).step_by(7) {
                let module = chained(chain, calls, loops);
                if compiled(&[&module], &[]).is_err() {
                    break;
                }
                assert_eq!(answered(&[&module], json!({})), Ok(json!({"allow": true})));
            }
        }
    });
}

/// Functions that call one another below nested calls and iterations.
fn chained(chain: usize, calls: usize, loops: usize) -> String {
    let mut module = String::from("package p\nallow if f0(1) > 0\n");
    for at in 0..chain {
        let call = format!("{}f{}(x){}", "abs(".repeat(calls), at + 1, ")".repeat(calls));
        let loops: String = (0..loops).map(|v| format!(" some v{v} in [1]\n")).collect();
        writeln!(module, "f{at}(x) := y if {{\n{loops} y := [z | z := {call}][0]\n}}").expect("writes");
    }
    writeln!(module, "f{chain}(x) := x").expect("writes");
    module
}
