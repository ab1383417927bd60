use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn limit(name: &str, scope: Scope) -> LimitConfig {
    LimitConfig {
        name: name.into(),
        scope,
        direction: None,
        max_calls: None,
        max_calls_per_second: None,
        reserved_inbound: 0,
        soft: false,
        cause: CauseCode::CIRCUIT_CONGESTION,
        warn_percent: 80,
        notice: None,
    }
}

fn from(peer: &str) -> Attempt<'_> {
    Attempt {
        peer: Some(peer),
        direction: Direction::In,
        number: "600",
        route: None,
        is_emergency: false,
    }
}

fn to(peer: &str) -> Attempt<'_> {
    Attempt { direction: Direction::Out, ..from(peer) }
}

fn carrier(max: usize) -> LimitConfig {
    let scope = Scope::Peers(vec!["media".into()]);
    LimitConfig { max_calls: Some(max), ..limit("carrier", scope) }
}

#[test]
fn a_full_limit_names_itself_and_its_count_and_a_place_given_back_is_free() {
    let mut limits = Limits::new(vec![carrier(2)]);
    for leg in 0..2 {
        limits.take(at(0), leg, &to("media")).unwrap();
    }
    let full = limits.take(at(0), 2, &to("media")).unwrap_err();
    assert_eq!(full.to_string(), "limit carrier is full: 2 of 2 calls");
    limits.take(at(0), 3, &to("other")).unwrap();
    limits.release(at(1), 0);
    limits.release(at(1), 0);
    limits.take(at(1), 4, &to("media")).unwrap();
    assert!(limits.take(at(1), 5, &to("media")).is_err());
    let usage = limits.usage(at(1));
    assert_eq!((usage[0].used, usage[0].peak, usage[0].refused), (2, 2, 2));
    assert_eq!(usage[0].top, [("media".to_string(), 2)]);
}

#[test]
fn all_limits_of_a_call_are_taken_or_none() {
    let each = Pattern::prefix("6");
    let mut limits = Limits::new(vec![
        LimitConfig { max_calls: Some(10), ..limit("switch", Scope::Switch) },
        LimitConfig { max_calls: Some(1), ..limit("did", Scope::EachNumber(each)) },
    ]);
    limits.take(at(0), 0, &from("a")).unwrap();
    let full = limits.take(at(0), 1, &from("a")).unwrap_err();
    assert_eq!(full.to_string(), "limit did (600) is full: 1 of 1 calls");
    let other = Attempt { number: "601", ..from("a") };
    limits.take(at(0), 2, &other).unwrap();
    let usage = limits.usage(at(0));
    assert_eq!(usage.iter().map(|usage| usage.used).collect::<Vec<_>>(), [2, 1, 1]);
    // Asked again, with its route, a leg keeps what it has.
    limits.take(at(0), 0, &Attempt { route: Some("x"), ..from("a") }).unwrap();
    assert_eq!(limits.usage(at(0))[0].used, 2);
    limits.release(at(2_000), 0);
    limits.release(at(2_000), 2);
    let usage = limits.usage(at(2_000));
    let names: Vec<&str> = usage.iter().map(|usage| usage.name.as_str()).collect();
    assert_eq!(names, ["switch", "did"], "numbers without calls are forgotten, their limit is not");
    let did = &usage[1];
    assert_eq!((did.used, did.max_calls, did.peak, did.refused), (0, Some(1), 1, 1));
    assert_eq!(did.at_cap, Duration::from_secs(4), "two numbers, two seconds each");
    limits.take(at(3_000), 3, &other).unwrap();
    let usage = limits.usage(at(3_500));
    assert_eq!((usage.len(), usage[1].name.as_str()), (2, "did (601)"));
    assert_eq!(usage[1].forgotten, (1, Duration::from_secs(4)));
}

#[test]
fn a_leg_that_gets_another_number_moves_to_the_place_of_that() {
    let each = Scope::EachNumber(Pattern::prefix(""));
    let all = LimitConfig { max_calls: Some(3), ..limit("all", Scope::Switch) };
    let mut limits =
        Limits::new(vec![LimitConfig { max_calls: Some(1), ..limit("did", each) }, all]);
    limits.take(at(0), 0, &from("a")).unwrap();
    limits.take(at(0), 1, &Attempt { number: "601", ..from("a") }).unwrap();
    let full = limits.take(at(0), 1, &from("a")).unwrap_err();
    assert_eq!(full.to_string(), "limit did (600) is full: 1 of 1 calls");
    limits.take(at(0), 1, &Attempt { number: "602", ..from("a") }).unwrap();
    limits.take(at(0), 2, &Attempt { number: "601", ..from("a") }).unwrap();
    for n in 0..50 {
        let number = format!("7{n}");
        assert!(limits.take(at(0), 9, &Attempt { number: &number, ..from("a") }).is_err());
    }
    assert_eq!(limits.pools[0].places.len(), 3, "nothing is kept of numbers refused elsewhere");
}

#[test]
fn an_absurd_ceiling_is_just_high() {
    let mut limits = Limits::new(vec![LimitConfig { reserved_inbound: 9, ..carrier(usize::MAX) }]);
    limits.take(at(0), 0, &to("media")).unwrap();
    assert_eq!(limits.notices(), []);
}

#[test]
fn no_more_than_so_many_calls_begin_within_any_second() {
    let config = LimitConfig { max_calls_per_second: Some(3), ..carrier(1_000) };
    let mut limits = Limits::new(vec![config]);
    let mut begun = Vec::new();
    for ms in 0..5_000 {
        if limits.take(at(ms), ms, &to("media")).is_ok() {
            begun.push(ms);
            limits.release(at(ms), ms);
        }
    }
    assert_eq!(begun.len(), 15);
    assert!(begun.windows(4).all(|four| four[3] - four[0] >= 1_000), "{begun:?}");
}

#[test]
fn places_kept_for_inbound_calls_are_not_given_to_outbound_ones() {
    let mut limits = Limits::new(vec![LimitConfig { reserved_inbound: 2, ..carrier(5) }]);
    for leg in 0..3 {
        limits.take(at(0), leg, &to("media")).unwrap();
    }
    let full = limits.take(at(0), 3, &to("media")).unwrap_err();
    assert!(full.to_string().contains("2 of them kept for inbound"), "{full}");
    limits.take(at(0), 4, &from("media")).unwrap();
    limits.take(at(0), 5, &from("media")).unwrap();
    assert!(limits.take(at(0), 6, &from("media")).is_err());
}

#[test]
fn no_limit_stands_against_an_emergency_and_its_place_is_taken_from_the_others() {
    let mut limits = Limits::new(vec![carrier(1)]);
    limits.take(at(0), 0, &to("media")).unwrap();
    assert!(limits.take(at(0), 1, &to("media")).is_err());
    limits.take(at(0), 1, &Attempt { is_emergency: true, ..to("media") }).unwrap();
    limits.release(at(1), 0);
    let full = limits.take(at(1), 2, &to("media")).unwrap_err();
    assert_eq!((full.used, full.max), (1, 1));
    limits.release(at(2), 1);
    limits.take(at(2), 2, &to("media")).unwrap();
}

#[test]
fn a_soft_limit_only_tells_and_the_mark_is_told_once() {
    let mut limits = Limits::new(vec![LimitConfig { soft: true, ..carrier(10) }]);
    for leg in 0..12 {
        limits.take(at(0), leg, &to("media")).unwrap();
    }
    let notices = limits.notices();
    let marks = notices.iter().filter(|notice| matches!(notice, Notice::Mark { above: true, .. }));
    assert_eq!(marks.count(), 1);
    assert_eq!(notices.len(), 3, "one mark, passed twice: {notices:?}");
    for leg in 0..12 {
        limits.release(at(1), leg);
    }
    let notices = limits.notices();
    assert!(matches!(&notices[..], [Notice::Mark { above: false, used: 6, .. }]), "{notices:?}");
}

#[test]
fn a_limit_too_small_for_a_mark_below_it_gives_no_warning_unless_that_is_wanted() {
    for (max, warn_percent, warns) in
        [(1, 80, false), (4, 80, false), (5, 80, true), (1, 100, true), (2, 50, true)]
    {
        let mut limits = Limits::new(vec![LimitConfig { warn_percent, ..carrier(max) }]);
        for leg in 0..u32::try_from(max).unwrap() {
            limits.take(at(0), leg, &to("media")).unwrap();
        }
        let marks = limits.notices();
        let mark = marks.iter().any(|notice| matches!(notice, Notice::Mark { above: true, .. }));
        assert_eq!(mark, warns, "{warn_percent} % of {max}: {marks:?}");
    }
}

#[test]
fn two_thousand_attempts_at_once_get_exactly_the_places_there_are() {
    let mut limits = Limits::new(vec![carrier(137)]);
    let taken = (0..2_000).filter(|leg| limits.take(at(0), *leg, &to("media")).is_ok()).count();
    assert_eq!(taken, 137);
    assert_eq!(limits.usage(at(0))[0].refused, 2_000 - 137);
}

#[test]
fn a_new_configuration_keeps_the_leases_and_takes_no_call_away() {
    let mut limits = Limits::new(vec![carrier(5), limit("gone", Scope::Switch)]);
    for leg in 0..4 {
        limits.take(at(0), leg, &to("media")).unwrap();
    }
    limits.reconfigure(vec![limit("new", Scope::Switch), carrier(3)]);
    assert!(limits.take(at(1), 9, &to("media")).is_err());
    limits.release(at(2), 0);
    assert!(limits.take(at(2), 9, &to("media")).is_err(), "3 of 3");
    limits.release(at(3), 1);
    limits.take(at(3), 9, &to("media")).unwrap();
    let usage = limits.usage(at(3));
    assert_eq!((usage[1].used, usage[1].max_calls), (3, Some(3)));
}

#[test]
fn time_at_the_cap_and_the_use_of_each_minute_are_kept() {
    let mut limits = Limits::new(vec![carrier(1)]);
    limits.take(at(30_000), 0, &to("media")).unwrap();
    limits.release(at(150_000), 0);
    let usage = &limits.usage(at(300_000))[0];
    assert_eq!(usage.at_cap, Duration::from_secs(120));
    assert_eq!(usage.history, [1, 1, 1, 0, 0, 0]);
}

/// A million steps of calls that begin and end at random, and of whole peers that vanish with all
/// their calls: the leases are always those of the calls that live, and never above a ceiling.
#[test]
fn after_a_million_random_steps_the_leases_are_those_of_the_calls_that_live() {
    const PEERS: [&str; 4] = ["a", "b", "c", "d"];
    let ceilings = [40, 7, 23];
    let mut limits = Limits::new(vec![
        LimitConfig { max_calls: Some(40), ..limit("switch", Scope::Switch) },
        LimitConfig { max_calls: Some(7), ..limit("a", Scope::Peers(vec!["a".into()])) },
        LimitConfig {
            max_calls: Some(23),
            ..limit("bc", Scope::Peers(vec!["b".into(), "c".into()]))
        },
    ]);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut live: Vec<(u32, &str)> = Vec::new();
    let mut next = 0;
    for step in 0..1_000_000_u64 {
        let now = at(step);
        match rng.u32(0..1000) {
            0 => {
                // A peer's process dies: each of its calls ends by itself, in any order.
                let peer = PEERS[rng.usize(0..PEERS.len())];
                let mut gone: Vec<u32> =
                    live.iter().filter(|(_, own)| *own == peer).map(|(leg, _)| *leg).collect();
                rng.shuffle(&mut gone);
                live.retain(|(_, own)| *own != peer);
                for leg in gone {
                    limits.release(now, leg);
                }
            }
            1..500 => {
                let peer = PEERS[rng.usize(0..PEERS.len())];
                if limits.take(now, next, &from(peer)).is_ok() {
                    live.push((next, peer));
                }
                next += 1;
            }
            _ if !live.is_empty() => {
                let (leg, _) = live.swap_remove(rng.usize(0..live.len()));
                limits.release(now, leg);
            }
            _ => {}
        }
        let count = |names: &[&str]| live.iter().filter(|(_, own)| names.contains(own)).count();
        let expected = [live.len(), count(&["a"]), count(&["b", "c"])];
        let used: [usize; 3] = std::array::from_fn(|n| {
            limits.pools[n].places.get("").map_or(0, |places| places.leases.len())
        });
        assert_eq!(used, expected, "step {step}");
        assert!(used.iter().zip(ceilings).all(|(used, ceiling)| *used <= ceiling));
        limits.notices.clear();
    }
    assert_eq!(limits.held.len(), live.len());
}

/// What the database would do for this switch, where others have said these things before.
fn lease(limits: &mut Limits<i32>, others: &[(&str, usize)]) {
    use crate::cluster::lease::{Answer, Ledger, Need, Renewal};
    let request = limits.lease_request(at(0)).expect("something is to be asked");
    let mut ledger = Ledger::default();
    for (name, slots) in others {
        let renewal = Renewal {
            incarnation: 1,
            number: 1,
            max: Some(10),
            keep: 0,
            told: *slots,
            target: *slots,
            need: Need::None,
            judged: Vec::new(),
        };
        ledger.renew(name, &renewal).expect("the first");
    }
    let (key, renewal) = request.renewals[0].clone();
    ledger.renew("berlin", &renewal).expect("the first");
    let ledgers = vec![(key, Ok(ledger))];
    let answer = Answer { number: request.number, ledgers, session: 1, present: [].into() };
    limits.leases_answered(at(0), answer);
}

#[test]
fn of_a_shared_limit_only_what_is_leased_is_let_through_and_the_refusal_says_who_holds_the_rest() {
    use crate::cluster::lease::Timing;
    let mut limits = Limits::new(vec![carrier(10)]);
    limits.share_with_others("berlin", Timing::of_lease(Duration::from_secs(15)), || at(0));
    let nothing = limits.take(at(0), 0, &to("media")).unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "limit carrier of 10 calls is shared: 0 are up here, and 0 may be; the database that says which slots are \
         free has not answered yet"
    );
    limits.leases_joined(at(0), 2);
    lease(&mut limits, &[("bonn", 7)]);
    for leg in 0..3 {
        limits.take(at(0), leg, &to("media")).unwrap();
    }
    let full = limits.take(at(0), 3, &to("media")).unwrap_err();
    assert_eq!(
        full.to_string(),
        "limit carrier of 10 calls is shared: 3 are up here, and 3 may be; other switches hold 7, 7 of them in use"
    );
    let emergency = Attempt { is_emergency: true, ..to("media") };
    limits.take(at(0), 4, &emergency).unwrap();
    limits.release(at(0), 0);
    limits.take(at(0), 5, &to("media")).unwrap();
    assert!(limits.take(at(0), 6, &to("media")).is_err(), "an emergency call takes no slot");
    assert_eq!(limits.over_lease(at(0), |_| true), []);
    limits.retire_leases();
    assert!(limits.take(at(0), 7, &to("media")).is_err(), "a newer process has the slots");
}

#[test]
fn each_number_has_what_is_leased_and_what_the_busiest_uses_is_in_use() {
    use crate::cluster::lease::Timing;
    let numbers = Scope::EachNumber(Pattern::prefix("6"));
    let mut limits =
        Limits::new(vec![LimitConfig { max_calls: Some(10), ..limit("did", numbers) }]);
    limits.share_with_others("berlin", Timing::of_lease(Duration::from_secs(15)), || at(0));
    limits.leases_joined(at(0), 2);
    lease(&mut limits, &[("bonn", 7)]);
    let called = |number| Attempt { number, ..from("a") };
    for leg in 0..3 {
        limits.take(at(0), leg, &called("600")).unwrap();
        limits.take(at(0), leg + 10, &called("601")).unwrap();
    }
    assert!(limits.take(at(0), 20, &called("600")).is_err(), "with those of bonn it has ten");
    limits.take(at(0), 21, &called("602")).unwrap();
    let used = |limits: &Limits<i32>| limits.pools[0].used(at(0), Ceiling::Calls);
    assert_eq!(used(&limits), 3, "and not 7");
    (0..3).for_each(|leg| limits.release(at(0), leg));
    assert_eq!(used(&limits), 3, "there is another as busy");
    (10..13).for_each(|leg| limits.release(at(0), leg));
    assert_eq!(used(&limits), 1);
}

#[test]
fn ten_thousand_calls_within_what_is_leased_ask_the_database_a_few_times_at_most() {
    use std::cell::Cell;

    use crate::cluster::lease::{Answer, Ledger, Timing};
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    let mut limits = Limits::new(vec![carrier(1_000)]);
    let clock = || at(NOW.get());
    limits.share_with_others("berlin", Timing::of_lease(Duration::from_secs(15)), clock);
    limits.leases_joined(at(0), 1);
    let (mut ledger, mut requests) = (Ledger::default(), 0);
    for call in 0..10_000 {
        NOW.set(call / 5);
        let now = at(NOW.get());
        if let Some(request) = limits.lease_request(now) {
            requests += 1;
            let (key, renewal) = request.renewals[0].clone();
            ledger.renew("berlin", &renewal).expect("one after the other");
            let ledgers = vec![(key, Ok(ledger.clone()))];
            let (number, present) = (request.number, [].into());
            limits.leases_answered(now, Answer { number, ledgers, session: 1, present });
        }
        limits.take(now, call, &to("media")).expect("there is room");
        if let Some(before) = call.checked_sub(20) {
            limits.release(now, before);
        }
    }
    assert!(requests <= 5, "{requests} requests in two seconds");
}

/// Five calls, a limit that is not shared yet, and a database that has not answered.
fn with_calls_up(config: LimitConfig) -> Limits<i32> {
    use crate::cluster::lease::Timing;
    let mut limits = Limits::new(vec![config]);
    limits.share_with_others("berlin", Timing::of_lease(Duration::from_secs(15)), || at(0));
    limits.leases_joined(at(0), 2);
    for leg in 0..5 {
        limits.take(at(0), leg, &to("media")).unwrap();
    }
    limits
}

#[test]
fn calls_that_are_up_stay_when_their_limit_begins_to_be_shared_and_others_hold_its_slots() {
    let rated = LimitConfig { max_calls: None, max_calls_per_second: Some(9), ..carrier(0) };
    for before in [LimitConfig { soft: true, ..carrier(10) }, rated] {
        let is_rated = before.max_calls.is_none();
        let mut limits = match is_rated {
            false => with_calls_up(before),
            true => {
                let mut limits = with_calls_up(LimitConfig { soft: true, ..before.clone() });
                limits.reconfigure(vec![before]);
                limits
            }
        };
        limits.reconfigure(vec![carrier(10)]);
        assert_eq!(limits.over_lease(at(0), |_| true), [], "nothing was asked yet");
        assert!(limits.take(at(0), 5, &to("media")).is_err(), "nothing is leased");
        lease(&mut limits, &[("bonn", 8)]);
        assert_eq!(limits.over_lease(at(0), |_| true), [], "it has two slots, and five calls");
        limits.release(at(0), 0);
        assert!(limits.take(at(0), 5, &to("media")).is_err(), "four are up");
        (1..4).for_each(|leg| limits.release(at(0), leg));
        limits.take(at(0), 5, &to("media")).unwrap();
        assert!(limits.take(at(0), 6, &to("media")).is_err(), "two may be up");
    }
}

#[test]
fn calls_that_are_up_stay_when_this_process_takes_its_leases_back_before_the_database_answers() {
    use crate::cluster::lease::Timing;
    let mut limits = with_calls_up(LimitConfig { soft: true, ..carrier(10) });
    limits.reconfigure(vec![carrier(10)]);
    lease(&mut limits, &[]);
    limits.retire_leases();
    limits.share_with_others("berlin", Timing::of_lease(Duration::from_secs(15)), || at(0));
    assert_eq!(limits.over_lease(at(0), |_| true), []);
    assert!(limits.take(at(0), 5, &to("media")).is_err());
    // Where others have taken the slots meanwhile, its calls are those that were up.
    limits.leases_joined(at(0), 3);
    lease(&mut limits, &[("bonn", 10)]);
    assert_eq!(limits.over_lease(at(0), |_| true), []);
}
