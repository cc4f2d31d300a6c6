//! What any store does: one list, run against memory and against a real server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::limit::{Algorithm, Calendar, Limit, LimitFault, LimitStore, NEVER, Period, Scope};
use pdp_state::redis::{RedisOptions, RedisStore};
use pdp_state::{LeaseOptions, LeasedStore, MemoryStore, StateStore};
use uuid::Uuid;

use crate::question::{Ask, HOUR, admitted, bucket, hourly, policy, spend};
use crate::valkey::{Valkey, until};

/// A property, and its name.
type Behaviour = (&'static str, fn(&dyn StateStore));

/// What any store does.
const BEHAVIOURS: &[Behaviour] = &[
    ("when one has no room none is spent", when_one_has_no_room_none_is_spent),
    ("two demands on one counter add up", two_demands_on_one_counter_add_up),
    ("a peek reads and never spends", a_peek_reads_and_never_spends),
    ("a repeated request spends once", a_repeated_request_spends_once),
    ("a refused request may be sent again", a_refused_request_may_be_sent_again),
    ("a changed limit keeps its counts", a_changed_limit_keeps_its_counts),
    ("a limit out of bounds spends nothing", a_limit_out_of_bounds_spends_nothing),
    ("more than ever fits is told never", more_than_ever_fits_is_told_never),
    ("each algorithm admits its limit", each_algorithm_admits_its_limit),
    ("tenants are apart unless the estate counts", tenants_are_apart_unless_the_estate_counts),
    ("any key is a key", any_key_is_a_key),
    ("a quota counts a calendar's period", a_quota_counts_a_calendars_period),
    ("what is held comes back", what_is_held_comes_back),
    ("what is held ends by itself", what_is_held_ends_by_itself),
    ("a settlement gives back and takes more", a_settlement_gives_back_and_takes_more),
    ("a settlement counts once", a_settlement_counts_once),
    ("a repeated request names who spent", a_repeated_request_names_who_spent),
    ("a reset forgets", a_reset_forgets),
    ("a grant takes what there is", a_grant_takes_what_there_is),
];

#[test]
fn memory_does_what_any_store_does() {
    run(&MemoryStore::default());
}

#[test]
fn leases_change_nothing_for_limits_that_are_counted_exactly() {
    run(&LeasedStore::new(Arc::new(MemoryStore::default()), LeaseOptions::default()));
}

#[test]
fn redis_does_what_any_store_does() {
    let server = Valkey::start(&[]);
    let store = RedisStore::connect(RedisOptions::from_url(&server.url()).unwrap()).unwrap();
    run(&*store);
}

/// Runs the whole list.
pub fn run(store: &dyn StateStore) {
    for (name, behaviour) in BEHAVIOURS {
        println!("{name}");
        behaviour(store);
    }
}

#[test]
fn a_lane_on_the_callers_runtime_does_the_same() {
    let server = Valkey::start(&[]);
    let store = RedisStore::connect(RedisOptions::from_url(&server.url()).unwrap()).unwrap();
    for _ in 0..2 {
        // The second runtime on this thread finds the lane of the first one closed.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let policy_id = policy();
        let limit = bucket(10);
        let counted = runtime.block_on(tokio::task::LocalSet::new().run_until(async {
            let mut replies = Vec::new();
            for _ in 0..25 {
                let ask = Ask::new(&policy_id, &limit, 1);
                let demands =
                    [pdp_engine::limit::LimitDemand { counter: ask.counter(), hits: 1, peek: false }];
                replies.push(store.spend(&pdp_engine::limit::Spend {
                    request_id: None,
                    holder: Uuid::nil(),
                    demands: &demands,
                    now: SystemTime::now(),
                }));
            }
            let mut counted = 0;
            for reply in replies {
                counted += usize::from(reply.await[0].admitted);
            }
            counted
        }));
        assert_eq!(counted, 10);
    }
}

fn when_one_has_no_room_none_is_spent(store: &dyn StateStore) {
    let policy_id = policy();
    let (wide, narrow) = (bucket(10), Limit { name: "narrow".into(), ..bucket(1) });
    let asks = [Ask::new(&policy_id, &wide, 3), Ask::new(&policy_id, &narrow, 1)];
    let outcomes = spend(store, None, Uuid::nil(), &asks);
    assert_eq!(admitted(&outcomes), [true, true]);
    assert_eq!((outcomes[0].remaining, outcomes[1].remaining), (7, 0));
    let outcomes = spend(store, None, Uuid::nil(), &asks);
    assert_eq!(admitted(&outcomes), [true, false]);
    assert_eq!((outcomes[0].remaining, outcomes[1].remaining), (7, 0));
    assert!(outcomes[1].retry_after.unwrap() > HOUR / 2);
    assert_eq!(asks[0].left(store), 7);
}

fn two_demands_on_one_counter_add_up(store: &dyn StateStore) {
    let policy_id = policy();
    for algorithm in [Algorithm::Gcra { burst: 5 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limit = hourly(algorithm, 5);
        let ask = |hits| Ask::new(&policy_id, &limit, hits);
        let outcomes = spend(store, None, Uuid::nil(), &[ask(3), ask(3)]);
        assert_eq!(admitted(&outcomes), [true, false]);
        assert_eq!(ask(1).left(store), 5);
        let outcomes = spend(store, None, Uuid::nil(), &[ask(3), ask(2)]);
        assert_eq!(admitted(&outcomes), [true, true]);
        assert_eq!((outcomes[0].remaining, outcomes[1].remaining), (2, 0));
    }
}

fn a_peek_reads_and_never_spends(store: &dyn StateStore) {
    let policy_id = policy();
    let (limit, other) = (bucket(2), Limit { name: "other".into(), ..bucket(2) });
    let ask = Ask::new(&policy_id, &limit, 2);
    for _ in 0..3 {
        let outcome = ask.peek().spend(store);
        assert_eq!((outcome.admitted, outcome.remaining), (true, 2));
    }
    assert!(ask.spend(store).admitted);
    let beside = Ask::new(&policy_id, &other, 1);
    let outcomes = spend(store, None, Uuid::nil(), &[ask.peek(), beside]);
    assert_eq!(admitted(&outcomes), [false, true]);
    assert_eq!(beside.left(store), 1, "a peek that has no room stops nobody");
}

fn a_repeated_request_spends_once(store: &dyn StateStore) {
    let policy_id = policy();
    let limit = bucket(10);
    let ask = Ask::new(&policy_id, &limit, 2);
    let id = Uuid::now_v7().to_string();
    let first = spend(store, Some(&id), Uuid::nil(), &[ask]);
    let again = spend(store, Some(&id), Uuid::nil(), &[ask]);
    let told = |it: &pdp_engine::limit::LimitOutcome| (it.admitted, it.remaining, it.reset_after);
    assert_eq!(told(&first[0]), told(&again[0]));
    assert_eq!(ask.left(store), 8);
    // Other demands are another request.
    spend(store, Some(&id), Uuid::nil(), &[Ask { hits: 1, ..ask }]);
    assert_eq!(ask.left(store), 7);
}

fn a_refused_request_may_be_sent_again(store: &dyn StateStore) {
    let policy_id = policy();
    let (full, wider) = (hourly(Algorithm::SlidingWindow, 1), hourly(Algorithm::SlidingWindow, 2));
    let id = Uuid::now_v7().to_string();
    assert!(Ask::new(&policy_id, &full, 1).spend(store).admitted);
    assert!(!spend(store, Some(&id), Uuid::nil(), &[Ask::new(&policy_id, &full, 1)])[0].admitted);
    assert!(spend(store, Some(&id), Uuid::nil(), &[Ask::new(&policy_id, &wider, 1)])[0].admitted);
}

fn a_changed_limit_keeps_its_counts(store: &dyn StateStore) {
    let policy_id = policy();
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let (before, after) = (hourly(algorithm, 10), hourly(algorithm, 12));
        assert_eq!(Ask::new(&policy_id, &before, 8).spend(store).remaining, 2);
        assert_eq!(Ask::new(&policy_id, &after, 1).left(store), 4);
    }
    // A bucket keeps the time until it is full.
    let before = hourly(Algorithm::Gcra { burst: 10 }, 10);
    let after = hourly(Algorithm::Gcra { burst: 20 }, 20);
    let spent = Ask::new(&policy_id, &before, 5).spend(store);
    let kept = Ask::new(&policy_id, &after, 1).peek().spend(store);
    assert!(spent.reset_after.abs_diff(kept.reset_after) < Duration::from_secs(5));
    assert!((9..=10).contains(&kept.remaining), "{}", kept.remaining);
}

fn a_limit_out_of_bounds_spends_nothing(store: &dyn StateStore) {
    let policy_id = policy();
    let (good, bad) = (bucket(5), Limit { limit: 0, ..bucket(5) });
    let asks = [Ask::new(&policy_id, &good, 1), Ask::new(&policy_id, &bad, 1)];
    let outcomes = spend(store, None, Uuid::nil(), &asks);
    assert_eq!(admitted(&outcomes), [true, false]);
    assert_eq!(outcomes[1].fault, Some(LimitFault::InvalidLimit));
    assert_eq!(asks[0].left(store), 5);
}

fn more_than_ever_fits_is_told_never(store: &dyn StateStore) {
    let policy_id = policy();
    for algorithm in [Algorithm::Gcra { burst: 5 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limit = hourly(algorithm, 5);
        for hits in [6, u64::MAX] {
            let outcome = Ask::new(&policy_id, &limit, hits).spend(store);
            assert_eq!((outcome.admitted, outcome.retry_after), (false, Some(NEVER)));
            assert_eq!(outcome.remaining, 5);
        }
    }
}

fn each_algorithm_admits_its_limit(store: &dyn StateStore) {
    let policy_id = policy();
    for algorithm in [Algorithm::Gcra { burst: 7 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limit = hourly(algorithm, 7);
        for left in (0..7).rev() {
            let outcome = Ask::new(&policy_id, &limit, 1).spend(store);
            assert_eq!((outcome.admitted, outcome.remaining, outcome.fault), (true, left, None));
            assert!(outcome.reset_after > Duration::ZERO && outcome.reset_after <= HOUR * 9 / 8);
        }
        let outcome = Ask::new(&policy_id, &limit, 1).spend(store);
        assert!(!outcome.admitted);
        assert!(outcome.retry_after.unwrap() <= HOUR * 9 / 8);
    }
}

fn a_quota_counts_a_calendars_period(store: &dyn StateStore) {
    let policy_id = policy();
    for period in [Period::Day, Period::Month] {
        let calendar = Calendar { period, zone: "Asia/Tokyo".parse().unwrap() };
        let limit = Limit::quota("calls", calendar, 100);
        let ask = Ask::new(&policy_id, &limit, 60);
        let outcome = ask.spend(store);
        assert_eq!((outcome.admitted, outcome.remaining), (true, 40));
        assert!(outcome.reset_after <= limit.window);
        let outcome = ask.spend(store);
        assert_eq!((outcome.admitted, outcome.remaining), (false, 40));
        assert!(outcome.retry_after.unwrap() <= limit.window);
        // Another zone is another quota.
        let calendar = Calendar { period, zone: "Europe/Berlin".parse().unwrap() };
        assert!(Ask::new(&policy_id, &Limit::quota("calls", calendar, 100), 60).spend(store).admitted);
    }
}

fn tenants_are_apart_unless_the_estate_counts(store: &dyn StateStore) {
    let policy_id = policy();
    let own = bucket(1);
    for tenant in [None, Some(""), Some("a"), Some("b")] {
        assert!(Ask::new(&policy_id, &own, 1).tenant(tenant).spend(store).admitted);
    }
    let shared = Limit { scope: Scope::Estate, name: "estate".into(), ..bucket(1) };
    assert!(Ask::new(&policy_id, &shared, 1).tenant(Some("a")).spend(store).admitted);
    assert!(!Ask::new(&policy_id, &shared, 1).tenant(Some("b")).spend(store).admitted);
}

fn any_key_is_a_key(store: &dyn StateStore) {
    let policy_id = policy();
    let limit = bucket(1);
    let long = "k".repeat(64 << 10);
    for key in ["", "{", "}{", "{a}b", "a\r\nFLUSHALL\r\n", "\0", "ключ", &long] {
        assert!(Ask::new(&policy_id, &limit, 1).key(key).spend(store).admitted, "{key:.20}");
        assert!(!Ask::new(&policy_id, &limit, 1).key(key).spend(store).admitted, "{key:.20}");
    }
}

fn what_is_held_comes_back(store: &dyn StateStore) {
    let policy_id = policy();
    let limit = hourly(Algorithm::Concurrency, 10);
    let hold = |holder, hits| spend(store, None, holder, &[Ask::new(&policy_id, &limit, hits)])[0];
    let holders: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    assert_eq!(hold(holders[0], 1).remaining, 9);
    assert_eq!(hold(holders[1], 6).remaining, 3);
    // One request on two demands of one counter holds both.
    let ask = |hits| Ask::new(&policy_id, &limit, hits);
    let outcomes = spend(store, None, holders[2], &[ask(1), ask(2)]);
    assert_eq!((admitted(&outcomes), outcomes[1].remaining), (vec![true, true], 0));
    let refused = hold(holders[3], 1);
    assert!(!refused.admitted && refused.retry_after.unwrap() <= HOUR);
    assert_eq!(hold(holders[3], 11).retry_after, Some(NEVER));
    assert_eq!(ask(1).settle(store, holders[1], 6, 0).remaining, 6);
    assert_eq!(ask(1).settle(store, holders[2], 3, 0).remaining, 9);
    assert_eq!(ask(1).settle(store, holders[2], 3, 0).remaining, 9, "given back once");
    assert_eq!(ask(1).settle(store, holders[0], 1, 0).remaining, 10);
    let full = ask(1).peek().spend(store);
    assert_eq!((full.remaining, full.reset_after), (10, Duration::ZERO));
}

fn what_is_held_ends_by_itself(store: &dyn StateStore) {
    let policy_id = policy();
    let limit = Limit { window: Duration::from_millis(150), ..hourly(Algorithm::Concurrency, 3) };
    let ask = Ask::new(&policy_id, &limit, 3);
    assert!(spend(store, None, Uuid::now_v7(), &[ask])[0].admitted);
    assert!(!spend(store, None, Uuid::now_v7(), &[ask])[0].admitted);
    until("the hold ends", || spend(store, None, Uuid::now_v7(), &[ask])[0].admitted);
}

fn a_settlement_gives_back_and_takes_more(store: &dyn StateStore) {
    let policy_id = policy();
    for algorithm in [Algorithm::Gcra { burst: 10 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limit = hourly(algorithm, 10);
        let ask = Ask::new(&policy_id, &limit, 8);
        let holder = Uuid::now_v7();
        assert!(spend(store, None, holder, &[ask])[0].admitted);
        // Its time drains a bucket by less than a hit.
        assert!((6..=7).contains(&ask.settle(store, holder, 8, 3).remaining), "{algorithm:?}");
        let before = ask.left(store);
        assert_eq!(ask.settle(store, Uuid::now_v7(), 0, 2).remaining, before - 2);
        // More than there is room for is spent all the same.
        assert_eq!(ask.settle(store, Uuid::now_v7(), 1, 50).remaining, 0);
        assert!(!Ask { hits: 1, ..ask }.spend(store).admitted);
    }
}

fn a_settlement_counts_once(store: &dyn StateStore) {
    let policy_id = policy();
    let limit = hourly(Algorithm::SlidingWindow, 100);
    let ask = Ask::new(&policy_id, &limit, 10);
    let holder = Uuid::now_v7();
    spend(store, None, holder, &[ask]);
    for _ in 0..3 {
        assert_eq!(ask.settle(store, holder, 10, 25).remaining, 75);
    }
    assert_eq!(ask.left(store), 75);
}

fn a_repeated_request_names_who_spent(store: &dyn StateStore) {
    let policy_id = policy();
    let limit = hourly(Algorithm::Concurrency, 5);
    let ask = Ask::new(&policy_id, &limit, 2);
    let id = Uuid::now_v7().to_string();
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    spend(store, Some(&id), first, &[ask]);
    assert_eq!(spend(store, Some(&id), second, &[ask])[0].spent_by, Some(first));
    assert_eq!(ask.left(store), 3);
    assert_eq!(ask.settle(store, first, 2, 0).remaining, 5);
}

fn a_reset_forgets(store: &dyn StateStore) {
    let policy_id = policy();
    for algorithm in [Algorithm::Gcra { burst: 3 }, Algorithm::SlidingWindow, Algorithm::Concurrency] {
        let limit = hourly(algorithm, 3);
        let ask = Ask::new(&policy_id, &limit, 3);
        assert_eq!(store.reset(&ask.counter()).wait(), Ok(false));
        assert!(ask.spend(store).admitted);
        assert!(!ask.spend(store).admitted);
        assert_eq!(store.reset(&ask.counter()).wait(), Ok(true));
        assert!(ask.spend(store).admitted);
    }
    let bad = Limit { limit: 0, ..bucket(1) };
    let counter = Ask::new(&policy_id, &bad, 1).counter();
    assert_eq!(store.reset(&counter).wait(), Err(LimitFault::InvalidLimit));
}

fn a_grant_takes_what_there_is(store: &dyn StateStore) {
    let policy_id: Arc<str> = policy();
    for algorithm in [Algorithm::Gcra { burst: 10 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limit = hourly(algorithm, 10);
        let ask = Ask::new(&policy_id, &limit, 1);
        let grant = |least, most| store.grant(&ask.counter(), least, most, SystemTime::now()).wait().unwrap();
        assert_eq!(grant(1, 7).hits, 7);
        let some = grant(1, 7);
        assert_eq!((some.hits, some.outcome.remaining), (3, 0));
        let none = grant(1, 7);
        assert_eq!((none.hits, none.outcome.admitted), (0, false));
        let granted_at = SystemTime::now();
        store.give_back(&ask.counter(), 4, granted_at);
        // A bucket does not give back what may have drained since.
        until("hits are given back", || ask.left(store) >= 3);
        assert_eq!(grant(5, 7).hits, 0, "fewer than the least");
        assert!(grant(1, 7).hits >= 3);
    }
}
