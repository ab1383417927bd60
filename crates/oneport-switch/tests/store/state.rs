//! All that a store has, into a file, out of it, and from one kind of database into another.

use oneport_switch::RefusalCount;
use oneport_switch::Stage;
use oneport_switch::api::Role;
use oneport_switch::store::{
    Record, SqliteStore, StateCounts, StateError, Store, StoredConfiguration, StoredUser,
    copy_state, export_state, import_state,
};
use oneport_testkit::peers::database::{DatabaseServer, Kind};

use crate::conformance::{bare, cdr, configuration, full, refusal, refused};
use crate::servers::{database, of_each_kind, open, registered};

/// A store that has something of everything, more than a page of records among it.
async fn filled() -> SqliteStore {
    let store = SqliteStore::in_memory().await.expect("made");
    let cdrs =
        (0..2_345).map(|number| cdr(if number % 2 == 0 { full(number) } else { bare(number) }));
    let refusals = (0..1_234).map(|number| refused(refusal(number)));
    let peers = (0..12).map(|number| Record::Registered(registered(&format!("peer {number}"))));
    let records: Vec<Record> = cdrs.chain(refusals).chain(peers).collect();
    store.write(&records).await.expect("written");
    for name in ["ann", "bob"] {
        let (role, password) = (Role::Operator, format!("hash of {name}"));
        let user = StoredUser { name: name.into(), role, listens: name == "bob", password };
        store.put_user(&user).await.expect("written");
    }
    for version in [3, 4, 9] {
        assert_eq!(store.put_configuration(&configuration(version)).await, Ok(true));
    }
    // Of many only the last are kept, and all are counted.
    let many = RefusalCount { stage: Stage::Limit, kind: "limit_calls".into(), count: 77_000 };
    let others = RefusalCount { stage: Stage::Route, kind: "no_route".into(), count: 3 };
    store.raise_refusal_counts(&[many, others]).await.expect("written");
    store
}

const ALL: StateCounts = StateCounts {
    users: 2,
    registrations: 12,
    cdrs: 2_345,
    refusals: 1_234,
    refusal_kinds: 2,
    configurations: 3,
};

#[tokio::test]
async fn beside_another_shared_configuration_of_the_same_version_nothing_is_written() {
    let source = filled().await;
    let target = SqliteStore::in_memory().await.expect("made");
    let other = StoredConfiguration { author: "somebody else".into(), ..configuration(4) };
    assert_eq!(target.put_configuration(&other).await, Ok(true));
    let error = copy_state(&source, &target).await.expect_err("version 4 is another");
    assert!(matches!(error, StateError::OtherConfiguration(4)), "{error}");
    let text = exported(&source).await;
    let error = import_state(&target, &mut text.as_bytes()).await.expect_err("it is another");
    assert!(matches!(error, StateError::OtherConfiguration(4)), "{error}");
    assert_eq!(target.users().await, Ok(Vec::new()));
    let there = target.configuration_behind(3).await.expect("read").expect("it is there");
    assert!(there == other, "it stays as it was");
}

#[tokio::test]
async fn what_was_exported_without_a_shared_configuration_is_imported() {
    let text = "{\"oneport_state\":1}\n\
                {\"end\":{\"users\":0,\"registrations\":0,\"cdrs\":0,\"refusals\":0,\"refusal_kinds\":0}}\n";
    let target = SqliteStore::in_memory().await.expect("made");
    let counts = import_state(&target, &mut text.as_bytes()).await.expect("imported");
    assert_eq!(counts, StateCounts::default());
}

async fn exported(store: &dyn Store) -> String {
    let mut text = Vec::new();
    export_state(store, &mut text).await.expect("exported");
    String::from_utf8(text).expect("text")
}

async fn a_state_comes_from_sqlite_and_goes_back_without_loss(kind: Kind) {
    let server = DatabaseServer::shared(kind);
    let url = database(&server);
    let source = filled().await;
    let there = open(kind, &url, false).await.expect("opened");
    assert_eq!(copy_state(&source, &*there).await.expect("copied"), ALL);
    assert!(exported(&*there).await == exported(&source).await, "to the letter");
    // Once more changes nothing.
    assert_eq!(copy_state(&source, &*there).await.expect("copied"), ALL);
    let back = SqliteStore::in_memory().await.expect("made");
    assert_eq!(copy_state(&*there, &back).await.expect("copied"), ALL);
    assert!(exported(&back).await == exported(&source).await, "to the letter");
}

#[tokio::test]
async fn what_was_exported_is_imported_and_a_part_of_it_is_known_as_one() {
    let source = filled().await;
    let text = exported(&source).await;
    let target = SqliteStore::in_memory().await.expect("made");
    let counts = import_state(&target, &mut text.as_bytes()).await.expect("imported");
    assert_eq!(counts, ALL);
    assert!(exported(&target).await == text, "to the letter");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(lines.len() / 2);
    let short = lines.join("\n");
    let error = import_state(&target, &mut short.as_bytes()).await.expect_err("a line is missing");
    assert!(matches!(error, StateError::Cut(_)), "{error}");
    let half = &text.as_bytes()[..text.len() / 2];
    import_state(&target, &mut { half }).await.expect_err("half of it is missing");
    for (wrong, line) in [("", 0), ("[store]\n", 1), ("{\"oneport_state\":99}\n", 1), (lines[1], 1)]
    {
        let error = import_state(&target, &mut wrong.as_bytes()).await.expect_err(wrong);
        match error {
            StateError::Line { line: at, .. } => assert_eq!(at, line, "{wrong}"),
            other => assert!(wrong.is_empty(), "{wrong}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_copy_that_lacks_something_or_has_it_otherwise_is_noticed() {
    let source = filled().await;
    let target = SqliteStore::in_memory().await.expect("made");
    // A record of the same id that says something else is not replaced.
    let other = oneport_switch::Cdr { duration_ms: 1, ..full(1_000) };
    target.write(&[cdr(other)]).await.expect("written");
    let error = copy_state(&source, &target).await.expect_err("one differs");
    assert!(matches!(&error, StateError::Different { .. }), "{error}");
    let text = exported(&target).await;
    assert!(text.contains("\"duration_ms\":1,"), "what was there stays");
}

of_each_kind! {
    a_state_comes_from_sqlite_and_goes_back_without_loss
}
