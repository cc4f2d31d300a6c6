//! Whole runs against the empty server.

#![allow(clippy::unwrap_used, clippy::panic)]
use std::net::SocketAddr;
use std::sync::mpsc;

use pdp_load::{
    Check, Expectation, InlineRequest, Load, LoadConfig, LoadError, Protocol, Requests, Target, empty,
    run_blocking,
};

fn start_empty_server() -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        empty::serve_blocking("127.0.0.1:0".parse().unwrap(), |address| sender.send(address).unwrap())
            .unwrap();
    });
    receiver.recv().unwrap()
}

fn effect_is(path: &[u32], effect: u64) -> Expectation {
    Expectation(vec![Check::Field { path: path.to_vec(), number: Some(effect), text: None }])
}

fn config(protocol: Protocol, method: &str, load: Load) -> LoadConfig {
    LoadConfig {
        target: Target {
            protocol,
            address: start_empty_server(),
            path: format!("/pdp.v1.PolicyDecisionService/{method}"),
        },
        requests: Requests::Inline(vec![
            InlineRequest { body_hex: String::new(), expectation: 0 },
            InlineRequest { body_hex: "2a0472656164".to_owned(), expectation: 0 },
        ]),
        expectations: vec![effect_is(&[2, 1], 1)],
        load,
        threads: 1,
        warm_up_seconds: 0.05,
        duration_seconds: 0.2,
        grace_seconds: 5.0,
        decisions_per_request: 1,
    }
}

const CLOSED: Load = Load::Closed { connections: 2, in_flight: 3 };

#[test]
fn closed_loop_measures_unary_calls() {
    let report = run_blocking(&config(Protocol::Grpc, "Check", CLOSED)).unwrap();
    assert!(report.requests > 0 && report.latency_us.p50 > 0.0);
    assert!(report.latency_us.p50 <= report.latency_us.p99 && report.latency_us.p99 <= report.latency_us.max);
}

#[test]
fn closed_loop_measures_streams_on_two_threads() {
    let mut config = config(Protocol::CheckStream, "CheckStream", CLOSED);
    config.threads = 2;
    assert!(run_blocking(&config).unwrap().requests > 0);
}

#[test]
fn open_loop_keeps_its_rate() {
    for (protocol, method) in [(Protocol::Grpc, "Check"), (Protocol::CheckStream, "CheckStream")] {
        let report =
            run_blocking(&config(protocol, method, Load::Open { connections: 2, rate: 500.0 })).unwrap();
        assert!(report.requests.abs_diff(100) <= 1, "{} requests", report.requests);
    }
}

#[test]
fn wrong_answer_voids_the_run() {
    for (protocol, method) in [(Protocol::Grpc, "Check"), (Protocol::CheckStream, "CheckStream")] {
        let mut config = config(protocol, method, CLOSED);
        config.expectations = vec![effect_is(&[2, 1], 2)];
        assert!(matches!(run_blocking(&config), Err(LoadError::WrongAnswer { .. })));
    }
}

#[test]
fn refused_call_voids_the_run() {
    let config = config(Protocol::Grpc, "NoSuchMethod", CLOSED);
    assert!(matches!(run_blocking(&config), Err(LoadError::Status { status, .. }) if status == "12"));
}

#[test]
fn batch_counts_each_decision() {
    let mut config = config(Protocol::Grpc, "CheckBatch", CLOSED);
    config.requests =
        Requests::Inline(vec![InlineRequest { body_hex: "0a000a00".to_owned(), expectation: 0 }]);
    config.expectations = vec![effect_is(&[1, 2, 1], 1)];
    config.decisions_per_request = 2;
    let report = run_blocking(&config).unwrap();
    assert!((report.decisions_per_second - 2.0 * report.rps).abs() < 1.0);
}

#[test]
fn absent_target_voids_the_run() {
    let mut config = config(Protocol::Http, "Check", CLOSED);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.target.address = free;
    assert!(matches!(run_blocking(&config), Err(LoadError::Transport(_))));
}

#[test]
fn out_of_range_configuration_is_named() {
    let mut config = config(Protocol::Grpc, "Check", CLOSED);
    config.threads = 0;
    let Err(LoadError::Config(message)) = run_blocking(&config) else { panic!("accepted") };
    assert!(message.starts_with("threads "));
}
