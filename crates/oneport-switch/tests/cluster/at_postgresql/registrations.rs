//! Which of several switches may say where somebody is.

use std::time::Duration;

use oneport_switch::Utc;
use oneport_switch::store::{Record, Store, StoredRegistration};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::setting::{PATIENCE, Setting, with_password};

/// Ann at `switch`, who has registered there so many seconds ago, for an hour.
pub(super) fn ann(switch: &str, seconds_ago: u64) -> Record {
    let registered = Utc::now().before(Duration::from_secs(seconds_ago));
    Record::Registered(StoredRegistration {
        peer: "ann".into(),
        address: "192.0.2.1:4569".into(),
        registered,
        expires: registered.after(Duration::from_secs(3_600)),
        contact: None,
        switch: Some(switch.into()),
    })
}

fn gone(switch: &str) -> Record {
    Record::Unregistered { peer: "ann".into(), switch: Some(switch.into()), registered: None }
}

/// Where ann is after these records, each written by itself.
async fn place_after(records: &[Record]) -> Option<String> {
    place_after_batches(records.chunks(1)).await
}

/// The same of records that are written together.
async fn place_after_batches<'a>(
    batches: impl IntoIterator<Item = &'a [Record]>,
) -> Option<String> {
    let setting = Setting::shared();
    let store = setting.store().await;
    for batch in batches {
        store.write(batch).await.expect("written");
    }
    let there = store.registrations().await.expect("readable");
    there.first().map(|one| one.switch.clone().expect("it is of a switch"))
}

#[tokio::test]
async fn whoever_registered_later_is_where_it_was_later_whichever_is_written_first() {
    let bonn = Some("bonn".to_string());
    assert_eq!(place_after(&[ann("berlin", 20), ann("bonn", 10)]).await, bonn);
    assert_eq!(place_after(&[ann("bonn", 10), ann("berlin", 20)]).await, bonn);
    // A switch knows the order of its own.
    assert_eq!(place_after(&[ann("bonn", 10), ann("bonn", 20)]).await, bonn);
}

#[tokio::test]
async fn what_is_over_elsewhere_since_does_not_come_back_and_nobody_ends_what_is_anothers() {
    assert_eq!(place_after(&[ann("bonn", 10), gone("bonn"), ann("berlin", 20)]).await, None);
    assert_eq!(place_after(&[ann("bonn", 10), gone("berlin")]).await, Some("bonn".into()));
    assert_eq!(
        place_after(&[ann("berlin", 20), gone("berlin"), ann("bonn", 0)]).await,
        Some("bonn".into())
    );
    // It has expired before it could be written.
    assert_eq!(place_after(&[ann("berlin", 3_601)]).await, None);
}

#[tokio::test]
async fn who_has_left_elsewhere_or_run_out_there_is_not_where_it_was_before() {
    let left = [ann("bonn", 10), gone("bonn")];
    assert_eq!(place_after_batches([&[ann("berlin", 20)][..], &left]).await, None);
    let Record::Registered(bonn) = ann("bonn", 10) else { unreachable!("it is one") };
    let short =
        StoredRegistration { expires: bonn.registered.after(Duration::from_secs(9)), ..bonn };
    assert_eq!(place_after(&[ann("berlin", 20), Record::Registered(short)]).await, None);
}

#[tokio::test]
async fn an_end_does_not_count_for_what_was_renewed_meanwhile() {
    let older = Some(Utc::now().before(Duration::from_secs(20)));
    let (peer, switch) = ("ann".to_string(), Some("bonn".to_string()));
    let over = Record::Unregistered { peer, switch, registered: older };
    let bonn = Some("bonn".to_string());
    assert_eq!(place_after(&[ann("bonn", 10), over.clone()]).await, bonn);
    assert_eq!(place_after_batches([&[ann("bonn", 10), over.clone()][..]]).await, bonn);
    assert_eq!(place_after(&[ann("bonn", 30), over]).await, None);
}

#[tokio::test]
async fn a_switch_that_joins_claims_what_was_there_when_there_was_only_one() {
    let setting = Setting::shared();
    let store = setting.store().await;
    let Record::Registered(alone) = ann("", 1) else { unreachable!("it is one") };
    let alone = Record::Registered(StoredRegistration { switch: None, ..alone });
    store.write(&[alone]).await.expect("written");
    let berlin = setting.switch("berlin", "").await;
    let bonn = setting.switch("bonn", "").await;
    bonn.until_elsewhere(1).await;
    assert_eq!(berlin.shown().await.registered_elsewhere, 0);
}

/// Two that write lock peers in the same order, so that neither waits for the other for ever.
#[tokio::test]
async fn whoever_waits_for_a_peer_holds_none_that_comes_behind_it() {
    let setting = Setting::shared();
    let store = setting.store().await;
    let Record::Registered(one) = ann("bonn", 10) else { unreachable!("it is one") };
    let bob = Record::Registered(StoredRegistration { peer: "bob".into(), ..one });
    store.write(&[ann("bonn", 20), bob.clone()]).await.expect("written");
    let mut url: url::Url = setting.url.parse().expect("a URL");
    with_password(&mut url);
    let mut other = PgConnection::connect(url.as_str()).await.expect("it is there");
    let lock = |peer: &str| {
        let sql = format!("SELECT peer FROM registration WHERE peer = '{peer}' FOR UPDATE NOWAIT");
        sqlx::query(AssertSqlSafe(sql))
    };
    let mut other = other.begin().await.expect("begun");
    lock("ann").execute(&mut *other).await.expect("nobody has it");
    let writes = tokio::spawn(async move { store.write(&[bob, gone("bonn")]).await });
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        while setting.server.run(&setting.url, waits) == "0" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("it waits for ann");
    lock("bob").execute(&mut *other).await.expect("whoever waits has no bob");
    other.commit().await.expect("committed");
    writes.await.expect("it ends").expect("written");
}
