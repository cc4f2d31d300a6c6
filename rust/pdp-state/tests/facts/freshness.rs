//! How soon a change is seen, and that nothing is said that was not true a second ago.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pdp_state::facts::{FactRegistry, RedisFacts};

use crate::valkey::{Valkey, eventually, open};
use crate::{MAX_STALE, metric, put, store, version};

/// Keeps a server and nodes busy until told to stop: reads of many documents, and changes of them.
fn load(writer: &RedisFacts, reader: &RedisFacts, stop: &AtomicBool) {
    let mut round = 0u64;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        store(writer, put(&format!("busy-{}", round % 100), None, round));
        for id in 0..200 {
            assert!(version(reader, &format!("busy-{}", id % 100)).is_some());
        }
    }
}

/// Times from the answer to a change on one node until another node says it.
fn delays(writer: &RedisFacts, reader: &RedisFacts, changes: u64) -> Vec<Duration> {
    let mut delays = Vec::new();
    for change in 1..=changes {
        // The reader has it cached.
        assert_eq!(version(reader, "a"), Some(change - 1));
        store(writer, put("a", Some(change), change));
        let stored = Instant::now();
        eventually("the change is seen", || version(reader, "a") == Some(change));
        delays.push(stored.elapsed());
    }
    delays.sort();
    delays
}

fn report(what: &str, delays: &[Duration]) {
    let at = |part: usize| delays[(delays.len() - 1) * part / 100];
    println!("{what}: median {:?}, p99 {:?}, worst {:?}", at(50), at(99), at(100));
}

#[test]
fn a_change_is_seen_by_another_node_within_100_ms_and_a_second_at_worst_under_load() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loads = [scope.spawn(|| load(&one, &other, &stop)), scope.spawn(|| load(&other, &one, &stop))];
        let delays = delays(&one, &other, 300);
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().unwrap();
        }
        report("tracked", &delays);
        assert!(delays[delays.len() / 2] <= Duration::from_millis(100), "{:?}", delays[delays.len() / 2]);
        assert!(delays[delays.len() - 1] <= Duration::from_secs(1), "{:?}", delays[delays.len() - 1]);
    });
    assert!((metric(&other, "pdp_facts_tracking") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_server_that_refuses_to_track_is_polled_and_a_change_is_seen_in_time_all_the_same() {
    let server = Valkey::start(&[]);
    server.command(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"]);
    server.command(&[
        "ACL",
        "SETUSER",
        "mute",
        "on",
        ">secret",
        "~*",
        "+@all",
        "-client|tracking",
        "-subscribe",
    ]);
    let writer = server.node();
    for user in ["app", "mute"] {
        let mut options = server.options();
        options.username = Some(user.to_owned());
        options.password = Some(pdp_state::redis::Secret::new("secret"));
        let reader = open(options, &pdp_state::facts::FactOptions::default());
        let delays = delays(&writer, &reader, 20);
        report(user, &delays);
        assert!(delays[delays.len() - 1] <= MAX_STALE + Duration::from_millis(250), "{delays:?}");
        assert!(metric(&reader, "pdp_facts_tracking").abs() < f64::EPSILON);
        writer.delete(vec![crate::key("a")], std::time::SystemTime::now()).wait().unwrap();
        server.command(&["FLUSHALL"]);
        eventually("gone here", || version(&writer, "a") == Some(0) && version(&reader, "a") == Some(0));
    }
}

#[test]
fn nothing_is_said_that_was_not_true_a_second_ago_however_connections_break() {
    let server = Valkey::start(&[]);
    let (writer, readers) = (server.node(), [server.node(), server.node()]);
    // When the answer to each version came; the version is the position.
    let stored = Mutex::new(vec![Instant::now()]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in &readers {
            let (stored, stop) = (&stored, &stop);
            scope.spawn(move || {
                let (mut said, mut silent) = (0u64, 0u64);
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let Some(seen) = version(reader, "a") else {
                        silent += 1;
                        continue;
                    };
                    said += 1;
                    let due = {
                        let stored = stored.lock().unwrap();
                        let old = |at: &Instant| *at + MAX_STALE < began;
                        stored.partition_point(old).saturating_sub(1) as u64
                    };
                    assert!(seen >= due, "said version {seen}, while {due} was there for a second");
                }
                println!("said {said}, could not say {silent}");
                assert!(said > 1_000);
            });
        }
        scope.spawn(|| {
            let mut version = 0;
            while !stop.load(Ordering::Relaxed) {
                // A put whose connection is killed may have happened: the next version is above it.
                let put =
                    writer.put(vec![put("a", Some(version + 1), version)], std::time::SystemTime::now());
                match put.wait() {
                    Ok(_) => version += 1,
                    Err(pdp_state::facts::FactError::OldVersion { .. }) => version += 1,
                    Err(_) => continue,
                }
                stored.lock().unwrap().push(Instant::now());
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let until = Instant::now() + Duration::from_secs(8);
        let mut round = 0;
        while Instant::now() < until {
            round += 1;
            std::thread::sleep(Duration::from_millis(190));
            match round % 4 {
                3 => {
                    server.signal("-STOP");
                    std::thread::sleep(Duration::from_millis(1_300));
                    server.signal("-CONT");
                }
                _ => drop(server.command(&["CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES"])),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(stored.lock().unwrap().len() > 100);
}
