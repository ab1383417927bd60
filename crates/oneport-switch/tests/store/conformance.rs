//! What every store must do, whatever database it is made of. Each function is a claim, tried on an
//! empty store.

use std::time::Duration;

use oneport_switch::api::Role;
use oneport_switch::store::{
    CallStory, CdrFilter, Order, Page, Paging, Record, RefusalFilter, Store, StoredConfiguration,
    StoredRegistration, StoredUser,
};
use oneport_switch::{
    Cdr, HungUpBy, LegDirection, Quality, Refusal, RefusalCount, RemoteQuality, Stage, Utc,
};
use uuid::Uuid;

/// Makes a test of each claim for the stores that `$make` makes: it gives a store and whatever must
/// live as long.
#[macro_export]
macro_rules! conformance {
    ($make:path) => {
        $crate::conformance! { $make:
            an_empty_store_has_nothing_and_says_so
            what_is_written_is_read_as_it_was
            every_stage_and_every_kind_of_end_has_a_name_that_is_read_again
            a_batch_written_twice_is_there_once
            a_large_batch_is_written_whole_and_in_order
            each_filter_finds_what_fits_and_nothing_else
            pages_follow_one_another_in_both_orders
            of_registrations_the_last_word_holds
            whatever_a_caller_writes_is_kept
            refusals_are_counted_by_kind_and_only_the_last_thousands_kept
            users_are_kept_by_their_names_and_forgotten
            versions_of_a_shared_configuration_are_kept_in_order_and_never_replaced
            old_records_are_deleted_a_few_at_a_time
            a_call_is_told_with_its_legs_and_refusals_in_order
            readers_see_whole_batches_while_a_writer_writes
        }
    };
    ($make:path: $($claim:ident)+) => {
        $(#[tokio::test]
        async fn $claim() {
            let (store, _place) = $make().await;
            $crate::conformance::$claim(&store).await;
        })+
    };
}

fn at(seconds: i64) -> Utc {
    Utc::from_unix_millis(1_764_300_000_000 + seconds * 1_000)
}

pub(crate) fn call(number: u128) -> Uuid {
    Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + number)
}

/// A record in which everything is said.
pub(crate) fn full(number: u128) -> Cdr {
    Cdr {
        call: call(number),
        leg: 1,
        switch: Some("berlin".into()),
        direction: LegDirection::In,
        peer: Some("dialer".into()),
        address: "[2001:db8::7]:4569".into(),
        calling_number: Some("+49301234567".into()),
        calling_name: Some("Zoë \"O'Neil\", ünïcode; %_\\".into()),
        called_number: "900".into(),
        dnid: Some("901".into()),
        rdnis: Some("902".into()),
        route: Some("outbound".into()),
        destination: Some("peer:media/900".into()),
        start: at(0),
        answer: Some(at(2).after(Duration::from_millis(5))),
        end: at(10),
        duration_ms: 10_000,
        billable_ms: 7_995,
        reason: "remote_hangup".into(),
        cause: 16,
        cause_text: Some("good\nbye".into()),
        hung_up_by: HungUpBy::Peer,
        codec: Some("ulaw".into()),
        transcoded: Some("gsm".into()),
        encrypted: true,
        trunk: false,
        limit: None,
        account_code: Some("7-b".into()),
        quality: Quality {
            frames: 500,
            bytes: 80_000,
            lost: 3,
            late: 1,
            out_of_order: 2,
            duplicates: 4,
            jitter_us: 1_250,
            sent_frames: 499,
            sent_bytes: 79_840,
            send_drops: 0,
            retransmissions: 6,
            rtt_us: Some(20_000),
            remote: Some(RemoteQuality {
                frames: u32::MAX,
                lost: 1,
                dropped: 2,
                out_of_order: 3,
                jitter_ms: 4,
                delay_ms: 5,
            }),
            agreement: "excess".into(),
            frame_ms: 20,
            late_p50_us: 1_001,
            late_p95_us: 1_002,
            late_p99_us: 1_003,
            late_max_us: 1_004,
            bursts: 7,
            burst_ms: 8,
            gap_ms: 9,
            burst_loss_percent: 33.33,
            gap_loss_percent: 0.51,
            burst_ratio: 2.48,
            clock_ppm: Some(-200),
            lag_us: Some(10),
            lag_least_us: Some(11),
            lag_greatest_us: Some(12),
            lag_here_us: Some(13),
            lag_there_us: Some(14),
            rating: Some(71.02),
            mos: Some(3.64),
            remote_rating: Some(24.65),
            remote_mos: Some(1.4),
            causes: Some("random_loss_here,clock_drift".into()),
            diagnosis: Some("the network loses 3.1 % of the voice on the way here".into()),
            one_way: Some("no_packet".into()),
            one_way_why: Some("one-way audio: the SIP side is not heard".into()),
            one_way_ms: Some(2_500),
        },
    }
}

/// A record in which only what must be said is said.
pub(crate) fn bare(number: u128) -> Cdr {
    Cdr {
        switch: None,
        peer: None,
        calling_number: None,
        calling_name: None,
        dnid: None,
        rdnis: None,
        route: None,
        destination: None,
        answer: None,
        cause_text: None,
        direction: LegDirection::Out,
        hung_up_by: HungUpBy::Network,
        codec: None,
        transcoded: None,
        encrypted: false,
        trunk: true,
        limit: Some("carrier a".into()),
        account_code: None,
        billable_ms: 0,
        quality: Quality { agreement: "unreported".into(), ..Quality::default() },
        ..full(number)
    }
}

pub(crate) fn refusal(number: u128) -> Refusal {
    Refusal {
        call: call(number),
        number: 1,
        switch: Some("berlin".into()),
        at: at(5),
        peer: Some("dialer".into()),
        address: "192.0.2.1:4569".into(),
        calling_number: Some("100".into()),
        called_number: "900".into(),
        stage: Stage::Limit,
        kind: "limit_calls".into(),
        rule: Some("limit carrier a".into()),
        value: Some("30 of 30 calls".into()),
        destination: Some("peer:media/900".into()),
        ended_call: true,
        cause: Some(42),
        said: Some("full".into()),
        why: "limit carrier a is full: 30 of 30 calls".into(),
        fix: Some("raise max_calls of limits.\"carrier a\"".into()),
    }
}

fn registration(peer: &str, port: u16) -> StoredRegistration {
    StoredRegistration {
        peer: peer.into(),
        address: format!("192.0.2.1:{port}"),
        registered: at(0),
        expires: at(70),
        contact: port.is_multiple_of(2).then(|| format!("udp sip:{peer}@192.0.2.1:{port}")),
        switch: None,
    }
}

pub(crate) fn cdr(cdr: Cdr) -> Record {
    Record::Cdr(Box::new(cdr))
}

pub(crate) fn refused(refusal: Refusal) -> Record {
    Record::Refusal(Box::new(refusal))
}

pub(crate) fn all() -> Paging {
    Paging { order: Order::OldestFirst, after: None, most: Paging::MOST }
}

async fn write(store: &dyn Store, records: &[Record]) {
    store.write(records).await.expect("written");
}

async fn found(store: &dyn Store, filter: CdrFilter) -> Vec<Cdr> {
    store.cdrs(&filter, all()).await.expect("read").records
}

pub(crate) async fn an_empty_store_has_nothing_and_says_so(store: &dyn Store) {
    assert_eq!(found(store, CdrFilter::default()).await, []);
    let refusals = store.refusals(&RefusalFilter::default(), all()).await.expect("read");
    assert_eq!(refusals, Page { records: Vec::new(), next: None });
    assert_eq!(store.registrations().await, Ok(Vec::new()));
    assert_eq!(store.refusal_counts().await, Ok(Vec::new()));
    assert_eq!(CallStory::find(store, call(1)).await, Ok(None));
    assert_eq!(store.prune(at(1_000), 10).await, Ok(0));
    assert!(!store.describe().is_empty());
    write(store, &[]).await;
}

pub(crate) async fn what_is_written_is_read_as_it_was(store: &dyn Store) {
    let records = [full(1), bare(2)];
    write(store, &records.clone().map(cdr)).await;
    assert_eq!(found(store, CdrFilter::default()).await, records);
    let mut bare_refusal = refusal(2);
    bare_refusal.peer = None;
    bare_refusal.calling_number = None;
    bare_refusal.rule = None;
    bare_refusal.value = None;
    bare_refusal.destination = None;
    bare_refusal.cause = None;
    bare_refusal.said = None;
    bare_refusal.fix = None;
    bare_refusal.ended_call = false;
    let refusals = [refusal(1), bare_refusal];
    write(store, &refusals.clone().map(refused)).await;
    let page = store.refusals(&RefusalFilter::default(), all()).await.expect("read");
    assert_eq!(page.records, refusals);
}

pub(crate) async fn every_stage_and_every_kind_of_end_has_a_name_that_is_read_again(
    store: &dyn Store,
) {
    let ends: Vec<Cdr> = (0..)
        .zip(HungUpBy::ALL)
        .map(|(number, hung_up_by)| Cdr { hung_up_by, ..full(number) })
        .collect();
    let stages: Vec<Refusal> =
        (0..).zip(Stage::ALL).map(|(number, stage)| Refusal { stage, ..refusal(number) }).collect();
    write(store, &ends.iter().cloned().map(cdr).collect::<Vec<_>>()).await;
    write(store, &stages.iter().cloned().map(refused).collect::<Vec<_>>()).await;
    assert_eq!(found(store, CdrFilter::default()).await, ends);
    let page = store.refusals(&RefusalFilter::default(), all()).await.expect("read");
    assert_eq!(page.records, stages);
}

pub(crate) async fn a_batch_written_twice_is_there_once(store: &dyn Store) {
    let batch = [
        cdr(full(1)),
        cdr(Cdr { leg: 2, ..full(1) }),
        refused(refusal(1)),
        Record::Registered(registration("dialer", 4_569)),
    ];
    write(store, &batch).await;
    write(store, &batch).await;
    assert_eq!(found(store, CdrFilter::default()).await.len(), 2);
    let refusals = store.refusals(&RefusalFilter::default(), all()).await.expect("read");
    assert_eq!(refusals.records.len(), 1);
    let counts = store.refusal_counts().await.expect("read");
    let count = RefusalCount { stage: Stage::Limit, kind: "limit_calls".into(), count: 1 };
    assert_eq!(counts, [count]);
    assert_eq!(store.registrations().await.expect("read").len(), 1);
}

pub(crate) async fn a_large_batch_is_written_whole_and_in_order(store: &dyn Store) {
    let cdrs: Vec<Cdr> = (0..1_777).map(full).collect();
    write(store, &cdrs.iter().cloned().map(cdr).collect::<Vec<_>>()).await;
    let mut read = Vec::new();
    let mut paging = all();
    loop {
        let page = store.cdrs(&CdrFilter::default(), paging).await.expect("read");
        read.extend(page.records);
        paging.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert!(read == cdrs, "{} of {}", read.len(), cdrs.len());
}

pub(crate) async fn each_filter_finds_what_fits_and_nothing_else(store: &dyn Store) {
    let other = Cdr {
        peer: Some("DIALER".into()),
        calling_number: Some("+4930".into()),
        called_number: "9%".into(),
        end: at(20),
        cause: 17,
        limit: Some("carrier b".into()),
        ..full(2)
    };
    let third = Cdr { called_number: "911".into(), calling_number: None, end: at(30), ..bare(3) };
    write(store, &[full(1), other, third].map(cdr)).await;
    let numbers = async |filter: CdrFilter| -> Vec<u128> {
        let found = found(store, filter).await;
        found.iter().map(|cdr| cdr.call.as_u128() - call(0).as_u128()).collect()
    };
    let none = CdrFilter::default;
    let text = |text: &str| Some(text.to_string());
    assert_eq!(numbers(CdrFilter { call: Some(call(2)), ..none() }).await, [2]);
    assert_eq!(numbers(CdrFilter { from: Some(at(20)), ..none() }).await, [2, 3], "then or later");
    assert_eq!(numbers(CdrFilter { to: Some(at(20)), ..none() }).await, [1], "before");
    let (from, to) = (Some(at(11)), Some(at(21)));
    assert_eq!(numbers(CdrFilter { from, to, ..none() }).await, [2]);
    assert_eq!(numbers(CdrFilter { peer: text("dialer"), ..none() }).await, [1], "to the letter");
    assert_eq!(numbers(CdrFilter { cause: Some(17), ..none() }).await, [2]);
    assert_eq!(numbers(CdrFilter { limit: text("carrier a"), ..none() }).await, [3]);
    assert_eq!(numbers(CdrFilter { number: text("900"), ..none() }).await, [1]);
    assert_eq!(numbers(CdrFilter { number: text("+4930"), ..none() }).await, [2], "either side's");
    assert_eq!(numbers(CdrFilter { number: text("+4930*"), ..none() }).await, [1, 2], "beginnings");
    assert_eq!(numbers(CdrFilter { number: text("9%*"), ..none() }).await, [2], "no other signs");
    assert_eq!(numbers(CdrFilter { number: text("*"), ..none() }).await, [1, 2, 3], "any");
    let two = CdrFilter { peer: text("dialer"), cause: Some(17), ..none() };
    assert_eq!(numbers(two).await, [0; 0], "all must fit");

    let last = Refusal {
        number: 2,
        at: at(6),
        peer: None,
        stage: Stage::Answer,
        kind: "busy".into(),
        cause: Some(17),
        ..refusal(1)
    };
    write(store, &[refused(refusal(1)), refused(last)]).await;
    let refusals = async |filter: RefusalFilter| -> Vec<u32> {
        let page = store.refusals(&filter, all()).await.expect("read");
        page.records.iter().map(|refusal| refusal.number).collect()
    };
    let none = RefusalFilter::default;
    assert_eq!(refusals(RefusalFilter { call: Some(call(1)), ..none() }).await, [1, 2]);
    assert_eq!(refusals(RefusalFilter { from: Some(at(6)), ..none() }).await, [2]);
    assert_eq!(refusals(RefusalFilter { to: Some(at(6)), ..none() }).await, [1]);
    assert_eq!(refusals(RefusalFilter { peer: text("dialer"), ..none() }).await, [1]);
    assert_eq!(refusals(RefusalFilter { number: text("90*"), ..none() }).await, [1, 2]);
    assert_eq!(refusals(RefusalFilter { cause: Some(42), ..none() }).await, [1]);
    assert_eq!(refusals(RefusalFilter { stage: Some(Stage::Answer), ..none() }).await, [2]);
    assert_eq!(refusals(RefusalFilter { kind: text("busy"), ..none() }).await, [2]);
}

pub(crate) async fn pages_follow_one_another_in_both_orders(store: &dyn Store) {
    write(store, &(0..7).map(|number| cdr(full(number))).collect::<Vec<_>>()).await;
    for (order, mut expected) in
        [(Order::OldestFirst, (0..7).collect()), (Order::NewestFirst, Vec::from_iter((0..7).rev()))]
    {
        let mut paging = Paging { order, after: None, most: 3 };
        let mut sizes = Vec::new();
        loop {
            let page = store.cdrs(&CdrFilter::default(), paging).await.expect("read");
            let calls: Vec<u128> =
                page.records.iter().map(|cdr| cdr.call.as_u128() - call(0).as_u128()).collect();
            sizes.push(calls.len());
            let rest = expected.split_off(calls.len());
            assert_eq!(calls, std::mem::replace(&mut expected, rest));
            paging.after = page.next;
            if page.next.is_none() {
                break;
            }
            // What is written meanwhile does not move the pages of the older ones.
            if order == Order::NewestFirst {
                write(store, &[cdr(full(100 + sizes.len() as u128))]).await;
            }
        }
        assert_eq!(sizes, [3, 3, 1]);
    }
    let exact = Paging { most: 9, ..Paging::default() };
    let page = store.cdrs(&CdrFilter::default(), exact).await.expect("read");
    assert_eq!((page.records.len(), page.next), (9, None), "no empty page behind a full one");
}

pub(crate) async fn of_registrations_the_last_word_holds(store: &dyn Store) {
    let gone =
        |peer: &str| Record::Unregistered { peer: peer.into(), switch: None, registered: None };
    write(
        store,
        &[
            Record::Registered(registration("ann", 1)),
            Record::Registered(registration("bob", 2)),
            Record::Registered(registration("ann", 3)),
            gone("bob"),
            gone("nobody"),
        ],
    )
    .await;
    assert_eq!(store.registrations().await, Ok(vec![registration("ann", 3)]));
    write(store, &[Record::Registered(registration("bob", 4)), gone("ann")]).await;
    write(store, &[gone("zoe"), Record::Registered(registration("zoe", 5))]).await;
    let left = vec![registration("bob", 4), registration("zoe", 5)];
    assert_eq!(store.registrations().await, Ok(left));
    // Whose end comes late is registered anew.
    let of = registration("bob", 4).registered;
    let over = |peer: &str, registered| Record::Unregistered {
        peer: peer.into(),
        switch: None,
        registered: Some(registered),
    };
    write(store, &[over("bob", of.before(Duration::from_secs(1))), over("zoe", of)]).await;
    assert_eq!(store.registrations().await, Ok(vec![registration("bob", 4)]));
}

pub(crate) async fn whatever_a_caller_writes_is_kept(store: &dyn Store) {
    let names =
        ["\0", "a\0b", "\u{fffd}\u{10ffff}", "\u{1f4de}\r\n\t\u{7f}", "'); DROP TABLE cdr; --"];
    let long = "ö".repeat(255);
    let names = names.into_iter().chain([long.as_str()]);
    let cdrs: Vec<Cdr> = (0..)
        .zip(names)
        .map(|(number, name)| Cdr { calling_name: Some(name.into()), ..full(number) })
        .collect();
    write(store, &cdrs.iter().cloned().map(cdr).collect::<Vec<_>>()).await;
    // One character has no place in the texts of some databases; another stands for it there.
    let seen = |cdr: &Cdr| cdr.calling_name.as_deref().unwrap_or("").replace('\0', "\u{fffd}");
    let read: Vec<String> = found(store, CdrFilter::default()).await.iter().map(seen).collect();
    assert_eq!(read, cdrs.iter().map(seen).collect::<Vec<_>>());
}

pub(crate) async fn users_are_kept_by_their_names_and_forgotten(store: &dyn Store) {
    assert_eq!(store.users().await, Ok(Vec::new()));
    let user = |name: &str, role, listens| StoredUser {
        name: name.into(),
        role,
        listens,
        password: format!("hash of {name}"),
    };
    let (bob, ann) = (user("bob", Role::Viewer, true), user("ann", Role::Admin, false));
    store.put_user(&bob).await.expect("written");
    store.put_user(&ann).await.expect("written");
    assert_eq!(store.users().await, Ok(vec![ann.clone(), bob]));
    let bob = user("bob", Role::Operator, false);
    store.put_user(&bob).await.expect("written again");
    assert_eq!(store.users().await, Ok(vec![ann, bob.clone()]));
    assert_eq!(store.remove_user("ann").await, Ok(true));
    assert_eq!(store.remove_user("ann").await, Ok(false));
    assert_eq!(store.users().await, Ok(vec![bob]));
}

pub(crate) fn configuration(version: i64) -> StoredConfiguration {
    StoredConfiguration {
        version,
        author: format!("ann {version}"),
        time: Utc::from_unix_millis(1_700_000_000_123 + version),
        text: format!("# № {version}\n[peers.ann]\nsecret = \"it's\\\\ \\\"{version}\\\"\"\n"),
    }
}

pub(crate) async fn versions_of_a_shared_configuration_are_kept_in_order_and_never_replaced(
    store: &dyn Store,
) {
    assert_eq!(store.configuration_behind(0).await, Ok(None));
    let large = StoredConfiguration { text: "# \u{e9}\n".repeat(100_000), ..configuration(2) };
    for version in [&configuration(12), &large, &configuration(3)] {
        assert_eq!(store.put_configuration(version).await, Ok(true));
        assert_eq!(store.put_configuration(version).await, Ok(true), "it is there as it is");
    }
    let other = StoredConfiguration { text: "# another\n".into(), ..configuration(3) };
    assert_eq!(store.put_configuration(&other).await, Ok(false));
    let (mut behind, mut found) = (0, Vec::new());
    while let Some(next) = store.configuration_behind(behind).await.expect("read") {
        behind = next.version;
        found.push(next);
    }
    assert!(found == [large, configuration(3), configuration(12)], "{found:?}");
}

pub(crate) async fn refusals_are_counted_by_kind_and_only_the_last_thousands_kept(
    store: &dyn Store,
) {
    for block in 0..11_u128 {
        let refusals: Vec<Record> = (0..1_000)
            .map(|number| {
                let kind = if number % 4 == 0 { "busy" } else { "no_route" };
                let kind = kind.to_string();
                refused(Refusal { kind, stage: Stage::Route, ..refusal(block * 1_000 + number) })
            })
            .collect();
        write(store, &refusals).await;
    }
    let count = |kind: &str, count| RefusalCount { stage: Stage::Route, kind: kind.into(), count };
    let counts = store.refusal_counts().await.expect("read");
    assert_eq!(counts, [count("no_route", 8_250), count("busy", 2_750)], "all, the frequent first");
    let first = store.refusals(&RefusalFilter::default(), all()).await.expect("read");
    let oldest = first.records.first().expect("some").call.as_u128() - call(0).as_u128();
    assert_eq!(oldest, 1_000, "of 11,000 the last 10,000");
}

pub(crate) async fn old_records_are_deleted_a_few_at_a_time(store: &dyn Store) {
    let ended =
        |number: u128| Cdr { end: at(i64::try_from(number).expect("small")), ..full(number) };
    write(store, &(0..10).map(|number| cdr(ended(number))).collect::<Vec<_>>()).await;
    assert_eq!(store.prune(at(7), 4).await, Ok(4));
    assert_eq!(store.prune(at(7), 4).await, Ok(3));
    assert_eq!(store.prune(at(7), 4).await, Ok(0));
    let left = found(store, CdrFilter::default()).await;
    assert_eq!(left, [ended(7), ended(8), ended(9)]);
}

pub(crate) async fn a_call_is_told_with_its_legs_and_refusals_in_order(store: &dyn Store) {
    let second = Cdr { leg: 2, direction: LegDirection::Out, ..full(1) };
    let again = Refusal { number: 2, ..refusal(1) };
    // The leg that was placed ends first.
    let batch = [cdr(second.clone()), refused(refusal(1)), refused(again.clone()), cdr(full(1))];
    write(store, &batch).await;
    write(store, &[cdr(full(2))]).await;
    let story = CallStory::find(store, call(1)).await.expect("read").expect("it is there");
    assert_eq!(story.legs, [full(1), second]);
    assert_eq!(story.refusals, [refusal(1), again]);
    let text = story.to_string();
    for part in [
        "choppy: the network loses 3.1 %",
        "one-way audio: the SIP side is not heard (for 2.5 s)",
        "leg 1 at berlin from dialer",
        "leg 2 at berlin to dialer",
        "7 s to be billed",
        "30 of 30 calls",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

pub(crate) async fn readers_see_whole_batches_while_a_writer_writes(store: &dyn Store) {
    let writing = async {
        for block in 0..40_u128 {
            let batch: Vec<Record> = (0..25).map(|number| cdr(full(block * 25 + number))).collect();
            write(store, &batch).await;
        }
    };
    let reading = async {
        let mut counts = Vec::new();
        while counts.last() != Some(&1_000) {
            counts.push(found(store, CdrFilter::default()).await.len());
        }
        counts
    };
    let ((), counts) = tokio::join!(writing, reading);
    assert!(counts.iter().all(|count| count % 25 == 0), "{counts:?}");
}
