//! A database that goes away while records are written: what waits on the disk meanwhile, and that each
//! acknowledged record is there once when it is back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oneport_switch::Journal;
use oneport_switch::store::{
    CdrFilter, Paging, QueuedStore, Record, Records, RefusalFilter, Store, StoredRegistration,
};
use oneport_testkit::peers::database::{DatabaseServer, Kind};
use url::Url;
use uuid::Uuid;

use crate::conformance::{all, cdr, full, refusal, refused};
use crate::servers::{database, of_each_kind, open, registered};

/// A server, an empty database in it, its store, and a queue before that.
struct Scene {
    server: DatabaseServer,
    url: Url,
    kind: Kind,
    directory: tempfile::TempDir,
}

impl Scene {
    fn begin(kind: Kind) -> Self {
        let server = DatabaseServer::start(kind);
        let url = database(&server);
        Self { server, url, kind, directory: tempfile::tempdir().expect("a directory") }
    }

    /// The store itself, with nothing before it.
    async fn itself(&self) -> Arc<dyn Store> {
        open(self.kind, &self.url, false).await.expect("opened").into()
    }

    async fn queued(&self, most: u64) -> Arc<QueuedStore> {
        let path = self.directory.path().join("queue.db");
        QueuedStore::new(self.itself().await, &path, most).await.expect("opened")
    }
}

/// Waits until nothing waits.
async fn caught_up(store: &QueuedStore) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while store.queue().is_some_and(|queue| queue.waiting > 0 || queue.outage.is_some()) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", store.queue());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The calls of all records, each as often as it is there.
async fn calls(store: &dyn Store) -> Vec<Uuid> {
    let mut calls = Vec::new();
    let mut paging = all();
    loop {
        let page = store.cdrs(&CdrFilter::default(), paging).await.expect("read");
        calls.extend(page.records.iter().map(|cdr| cdr.call));
        paging.after = page.next;
        if page.next.is_none() {
            return calls;
        }
    }
}

fn numbered(number: u64) -> Vec<Record> {
    let call = u128::from(number);
    let peer = StoredRegistration {
        address: format!("192.0.2.1:{}", 1 + number),
        ..registered(&format!("peer {}", number % 10))
    };
    vec![cdr(full(call)), refused(refusal(call)), Record::Registered(peer)]
}

/// A server is killed again and again while records come, and is away for a while each time.
async fn nothing_that_was_acknowledged_is_lost_when_the_server_is_killed_under_load(kind: Kind) {
    const KILLS: u64 = 5;
    let scene = Scene::begin(kind);
    let store = scene.queued(1_000_000).await;
    let records = Records::default();
    let mut sender = records.sender();
    let durable = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&durable);
    let report = move |count| told.store(count, Ordering::SeqCst);
    let writer = records.write_to(store.clone(), None, report).expect("a thread");
    let mut sent = 0;
    let mut append_some = async |milliseconds: u64| {
        for _ in 0..milliseconds {
            numbered(sent).into_iter().for_each(|record| sender.append(record));
            sent += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sent
    };
    let mut queued = 0;
    for _ in 0..KILLS {
        append_some(100).await;
        scene.server.kill();
        let sent = append_some(100).await;
        // While there is no server, all of it becomes durable all the same.
        while durable.load(Ordering::SeqCst) < sent * 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let report = store.queue().expect("there is one");
        assert!(report.waiting > 0 && report.outage.is_some(), "{report:?}");
        queued += report.waiting;
        scene.server.start_again();
    }
    let sent = append_some(100).await;
    drop(sender);
    writer.finished().await;
    assert_eq!(durable.load(Ordering::SeqCst), sent * 3);
    caught_up(&store).await;
    assert!(queued >= KILLS * 100, "{queued} were in the queue");
    let itself = scene.itself().await;
    let there = calls(&*itself).await;
    let different: BTreeSet<Uuid> = there.iter().copied().collect();
    assert_eq!((there.len() as u64, different.len() as u64), (sent, sent), "each once");
    let refusals = itself.refusal_counts().await.expect("read");
    assert_eq!(refusals.first().map(|count| count.count), Some(sent), "each once");
    let page = itself.refusals(&RefusalFilter::default(), Paging::default()).await.expect("read");
    assert_eq!(
        page.records.first().map(|last| last.call),
        Some(refusal(u128::from(sent - 1)).call)
    );
    let mut standing: Vec<String> =
        (sent - 10..sent).map(|n| format!("192.0.2.1:{}", 1 + n)).collect();
    standing.sort();
    let mut there: Vec<String> = itself
        .registrations()
        .await
        .expect("read")
        .into_iter()
        .map(|registration| registration.address)
        .collect();
    there.sort();
    assert_eq!(there, standing, "of each peer the last word");
}

async fn what_waits_outlives_the_switch_and_tells_it_who_is_registered(kind: Kind) {
    let scene = Scene::begin(kind);
    let first = scene.queued(1_000).await;
    let (ann, bob) = (registered("ann"), registered("bob"));
    let both = [ann, bob.clone()].map(Record::Registered);
    first.write(&both).await.expect("written");
    scene.server.kill();
    let gone = Record::Unregistered { peer: "ann".into(), switch: None, registered: None };
    let zoe = registered("zoe");
    let meanwhile = [gone, Record::Registered(zoe.clone()), cdr(full(7))];
    first.write(&meanwhile).await.expect("queued");
    // No farewell: another switch begins with what is on the disk.
    drop(first);
    let path = scene.directory.path().join("queue.db");
    let store: Arc<dyn Store> = match kind {
        Kind::Postgres => {
            Arc::new(oneport_switch::store::PostgresStore::new(&scene.url).expect("a URL"))
        }
        Kind::MariaDb => {
            Arc::new(oneport_switch::store::MySqlStore::new(&scene.url).expect("a URL"))
        }
    };
    let second = QueuedStore::new(store, &path, 1_000).await.expect("opened without a server");
    assert_eq!(second.registrations().await, Ok(vec![zoe.clone()]), "what waits is known");
    assert_eq!(second.queue().map(|queue| queue.waiting), Some(3));
    scene.server.start_again();
    caught_up(&second).await;
    let found = second.missing_registrations().expect("some were missing").await;
    assert_eq!(
        found,
        Ok(vec![bob.clone(), zoe.clone()]),
        "and what the server had, once it is back"
    );
    assert!(second.missing_registrations().is_none(), "that was all");
    assert_eq!(second.registrations().await, Ok(vec![bob, zoe]));
    assert_eq!(calls(&*scene.itself().await).await, [full(7).call]);
}

async fn no_more_waits_than_may_and_the_queue_is_emptied_and_used_again(kind: Kind) {
    let scene = Scene::begin(kind);
    let store = scene.queued(10).await;
    for round in 0..2 {
        scene.server.kill();
        let some = |from: u128| -> Vec<Record> {
            (from..from + 8).map(|number| cdr(full(round * 100 + number))).collect()
        };
        store.write(&some(0)).await.expect("they have room");
        let refused = store.write(&some(8)).await.expect_err("they have none");
        assert!(refused.to_string().contains("8 records wait"), "{refused}");
        assert_eq!(store.queue().map(|queue| (queue.waiting, queue.most)), Some((8, 10)));
        scene.server.start_again();
        caught_up(&store).await;
        store.write(&some(8)).await.expect("now they go to the server");
        assert_eq!(store.queue().map(|queue| queue.waiting), Some(0));
    }
    assert_eq!(calls(&*scene.itself().await).await.len(), 32);
}

async fn a_server_that_answers_nothing_is_not_waited_for_and_has_each_record_once(kind: Kind) {
    let scene = Scene::begin(kind);
    let store = scene.queued(1_000_000).await;
    store.write(&[cdr(full(0))]).await.expect("written");
    scene.server.freeze();
    for number in 1..50 {
        store.write(&[cdr(full(number))]).await.expect("the disk takes it");
    }
    assert_eq!(store.queue().map(|queue| queue.waiting), Some(49));
    scene.server.thaw();
    caught_up(&store).await;
    let there = calls(&*scene.itself().await).await;
    assert_eq!(there, (0..50).map(|number| full(number).call).collect::<Vec<_>>(), "in order");
}

#[tokio::test]
async fn only_its_owner_may_read_the_queue() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let nowhere = Url::parse("postgres://nobody@127.0.0.1:1/nothing").expect("a URL");
    let store = oneport_switch::store::PostgresStore::new(&nowhere).expect("a URL");
    let store = QueuedStore::new(Arc::new(store), &path, 10).await.expect("made");
    store.write(&[cdr(full(1))]).await.expect("queued");
    for path in [path.clone(), directory.path().join("queue.db-wal")] {
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    // A directory is no place for it.
    let store = oneport_switch::store::PostgresStore::new(&nowhere).expect("a URL");
    let error = QueuedStore::new(Arc::new(store), Path::new("/"), 10).await.map(drop);
    assert!(error.expect_err("a directory").to_string().contains("the queue /"));
}

of_each_kind! {
    nothing_that_was_acknowledged_is_lost_when_the_server_is_killed_under_load
    what_waits_outlives_the_switch_and_tells_it_who_is_registered
    no_more_waits_than_may_and_the_queue_is_emptied_and_used_again
    a_server_that_answers_nothing_is_not_waited_for_and_has_each_record_once
}
