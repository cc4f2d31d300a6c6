use std::collections::HashMap;

use proptest::prelude::*;

use super::sketch::{MAX_NAME_BYTES, UNIT};
use super::*;

/// What happens to a sketch.
#[derive(Clone, Debug)]
enum Event {
    Seen(u8, bool),
    Fade,
}

fn events(fading: bool) -> impl Strategy<Value = Vec<Event>> {
    // Few names are frequent and many are rare, as in traffic.
    let name = prop_oneof![3 => 0..4u8, 2 => any::<u8>()];
    let seen = (name, any::<bool>()).prop_map(|(name, refused)| Event::Seen(name, refused));
    let event = if fading { prop_oneof![30 => seen, 1 => Just(Event::Fade)].boxed() } else { seen.boxed() };
    prop::collection::vec(event, 0..800)
}

fn hasher() -> RandomState {
    RandomState::with_seeds(1, 2, 3, 4)
}

/// Plays `events`; the true counts, faded without rounding, and the sketch.
fn play(most: usize, events: &[Event]) -> (HashMap<Vec<u8>, (f64, f64)>, Sketch) {
    let mut truth: HashMap<Vec<u8>, (f64, f64)> = HashMap::new();
    let mut sketch = Sketch::new(most, hasher());
    let mut fades = 0;
    for event in events {
        match event {
            Event::Seen(name, refused) => {
                sketch.record(&[*name], *refused);
                let count = truth.entry(vec![*name]).or_default();
                count.0 += 1.0;
                count.1 += f64::from(u8::from(*refused));
            }
            Event::Fade => {
                fades += 1;
                sketch.fade(fades);
                truth.values_mut().for_each(|count| *count = (count.0 / 2.0, count.1 / 2.0));
            }
        }
    }
    (truth, sketch)
}

#[allow(clippy::cast_precision_loss, reason = "counts of a test are small")]
fn requests(units: u64) -> f64 {
    units as f64 / UNIT as f64
}

fn check(truth: &HashMap<Vec<u8>, (f64, f64)>, summary: &Summary) {
    for (name, (count, refused)) in truth {
        match summary.counts.get(name) {
            None => assert!(*count <= requests(summary.unseen), "{name:?}: {count}"),
            Some(bounds) => {
                assert!(requests(bounds.lower) <= *count, "{name:?}: {count} < {bounds:?}");
                assert!(*count <= requests(bounds.upper), "{name:?}: {count} > {bounds:?}");
                assert!(requests(bounds.refused) <= *refused && bounds.refused <= bounds.lower);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_true_count_lies_between_the_bounds(most in 1..40usize, events in events(true)) {
        let (truth, sketch) = play(most, &events);
        let summary = Summary::of(&sketch);
        prop_assert!(summary.counts.len() <= most);
        check(&truth, &summary);
    }

    #[test]
    fn whoever_makes_more_than_one_in_k_requests_is_named(most in 1..40usize, events in events(false)) {
        let (truth, sketch) = play(most, &events);
        let summary = Summary::of(&sketch);
        let all: f64 = truth.values().map(|(count, _)| count).sum();
        let share = all / f64::from(u32::try_from(most).unwrap());
        for (name, (count, _)) in &truth {
            prop_assert!(*count <= share || summary.counts.contains_key(name));
        }
        // The possible error is never more than that share either.
        for bounds in summary.counts.values() {
            prop_assert!(requests(bounds.upper - bounds.lower) <= share);
        }
    }

    #[test]
    fn merging_keeps_the_bounds(
        parts in prop::collection::vec((1..20usize, events(false)), 1..5),
    ) {
        let mut whole: HashMap<Vec<u8>, (f64, f64)> = HashMap::new();
        let mut summaries = Vec::new();
        for (most, events) in &parts {
            let (truth, sketch) = play(*most, events);
            for (name, (count, refused)) in truth {
                let sum = whole.entry(name).or_default();
                *sum = (sum.0 + count, sum.1 + refused);
            }
            summaries.push(Summary::of(&sketch));
        }
        let forth = summaries.iter().cloned().reduce(Summary::merge).unwrap();
        check(&whole, &forth);
        let back = summaries.into_iter().rev().reduce(Summary::merge).unwrap();
        prop_assert_eq!(forth, back, "the order of threads must not matter");
    }

    #[test]
    fn names_of_any_size_are_bounded_and_stay_apart(
        head in "[aé\u{1f600}]{0,300}", tails in prop::collection::hash_set("[ab]{0,6}", 1..4), pad in 0..65_536usize,
    ) {
        let mut sketch = Sketch::new(8, hasher());
        for tail in &tails {
            sketch.record(format!("{head}{}{tail}", "x".repeat(pad)).as_bytes(), false);
        }
        let counts: Vec<_> = sketch.counts().collect();
        prop_assert_eq!(counts.len(), tails.len());
        for count in counts {
            prop_assert!(count.name.len() <= MAX_NAME_BYTES && std::str::from_utf8(&count.name).is_ok());
        }
    }
}

fn talkers() -> (Talkers, Instant) {
    let now = Instant::now();
    (Talkers::new(TalkerOptions::default(), now, SystemTime::UNIX_EPOCH), now)
}

fn of(kind: TalkerKind, top: &[Talker]) -> Vec<(&str, u64)> {
    top.iter().filter(|one| one.kind == kind).map(|one| (one.name.as_str(), one.requests)).collect()
}

#[test]
fn threads_are_added_up_by_kind() {
    let (talkers, now) = talkers();
    let threads = [talkers.register(), talkers.register()];
    for (at, thread) in threads.iter().enumerate() {
        let sighting = Sighting {
            tenant: Some("acme"),
            function: Some(["pay", "ship"][at]),
            source: Some(["192.0.2.7", "192.0.2.200"][at]),
            refused: at == 0,
        };
        let limit = LimitSighting { policy_id: "p", limit: "l", key: "k\n\u{1b}", refused: false };
        thread.see(now, &sighting, [limit, limit]);
    }
    let top = talkers.top(10, now);
    assert_eq!(of(TalkerKind::Tenant, &top), [("acme", 2)]);
    assert_eq!(of(TalkerKind::Function, &top), [("pay", 1), ("ship", 1)]);
    assert_eq!(of(TalkerKind::Network, &top), [("192.0.2.0/24", 2)]);
    assert_eq!(of(TalkerKind::LimitKey, &top), [("p/l k\\n\\u{1b}", 4)]);
    assert_eq!(top.first().map(|one| (one.refused, one.error)), Some((1, 0)));
}

#[test]
fn addresses_are_counted_by_network() {
    let (talkers, now) = talkers();
    let thread = talkers.register();
    for source in
        ["2001:db8::1", "2001:db8:0:0:ffff::", "2001:db8:0:1::1", "::ffff:198.51.100.9", "no address"]
    {
        thread.see(now, &Sighting { source: Some(source), ..Sighting::default() }, []);
    }
    let top = talkers.top(10, now);
    let want = [("2001:db8::/64", 2), ("2001:db8:0:1::/64", 1), ("198.51.100.0/24", 1)];
    assert_eq!(of(TalkerKind::Network, &top), want);
}

#[test]
fn the_parts_of_a_key_are_read_out() {
    let (talkers, now) = talkers();
    let thread = talkers.register();
    for (key, written) in [
        ("4:acme;3:ada;", "p/l acme ada"),
        ("6:a;2:b;;", "p/l a;2:b;"),
        ("2:\u{e9};0:;", "p/l \u{e9} "),
        ("4:acme;3:a", "p/l 4:acme;3:a"),
        ("9:x;", "p/l 9:x;"),
        ("acme", "p/l acme"),
    ] {
        thread.see(
            now,
            &Sighting::default(),
            [LimitSighting { policy_id: "p", limit: "l", key, refused: false }],
        );
        let top = talkers.top(10, now);
        assert!(top.iter().any(|one| one.name == written), "{key}: {top:?}");
    }
}

#[test]
fn counts_fade_by_half_and_then_away() {
    let (talkers, now) = talkers();
    let thread = talkers.register();
    let sighting = Sighting { tenant: Some("acme"), ..Sighting::default() };
    for _ in 0..100 {
        thread.see(now, &sighting, []);
    }
    let after = |seconds| {
        of(TalkerKind::Tenant, &talkers.top(1, now + Duration::from_secs(seconds))).pop().map(|t| t.1)
    };
    assert_eq!(after(29), Some(100));
    assert_eq!(after(30), Some(50));
    assert_eq!(after(61), Some(25));
    assert_eq!(after(600), None);
    assert_eq!(after(1_000_000_000), None);
}

#[test]
fn a_flood_of_names_takes_bounded_memory_and_hides_nobody() {
    let (talkers, now) = talkers();
    let thread = talkers.register();
    for number in 0..100_000 {
        let name = format!("{number}-{}", "x".repeat(1_000));
        let tenant = if number % 10 == 0 { "loud" } else { &name };
        thread.see(now, &Sighting { tenant: Some(tenant), ..Sighting::default() }, []);
    }
    let held = locked(&thread.held);
    let bytes: usize = held.kinds[0].counts().map(|count| count.name.len()).sum();
    assert!(bytes <= 256 * MAX_NAME_BYTES);
    drop(held);
    let top = talkers.top(1, now);
    let loud = top.first().unwrap();
    assert_eq!(loud.name, "loud");
    assert!(loud.requests >= 10_000 && loud.requests - loud.error <= 10_000, "{loud:?}");
}

#[test]
fn a_thread_that_ends_is_forgotten() {
    let (talkers, now) = talkers();
    let thread = talkers.register();
    thread.see(now, &Sighting { tenant: Some("acme"), ..Sighting::default() }, []);
    drop(thread);
    assert!(talkers.top(10, now).is_empty());
}

/// Run with `cargo test --release -p pdp-state talkers -- --ignored --nocapture`.
#[test]
#[ignore = "measures; its figure is in docs/guides/defend-against-floods.md"]
fn cost_of_a_request() {
    let (talkers, now) = talkers();
    let thread = talkers.register();
    let names: Vec<String> = (0..10_000).map(|number| format!("tenant-{number}")).collect();
    for (what, names) in [("held", &names[..100]), ("new", &names[..])] {
        let start = Instant::now();
        let rounds = 1_000_000u32;
        for name in names.iter().cycle().take(rounds as usize) {
            let sighting = Sighting {
                tenant: Some(name),
                function: Some("shop-pay"),
                source: Some("192.0.2.7"),
                refused: false,
            };
            let limit =
                LimitSighting { policy_id: "shop.limits", limit: "per-tenant", key: name, refused: false };
            thread.see(now, &sighting, [limit]);
        }
        eprintln!("{what} names: {:?} a request of four kinds", start.elapsed() / rounds);
    }
}
