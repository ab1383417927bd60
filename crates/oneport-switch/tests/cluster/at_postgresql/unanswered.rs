//! A database that takes connections, and answers only the beginning of what it is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oneport_switch::api::model::SwitchState::Alive;
use oneport_switch::cluster::{NotShared, set_shared};
use oneport_switch::store::{PostgresStore, Store as _};
use oneport_switch::{Config, StorePlace};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::registrations::ann;
use crate::setting::{PATIENCE, Setting};

/// Something before the database: from the first word that it is to keep to itself on, it takes what a connection
/// says, and nothing comes back by it. The database hears nothing of it any more either, not even its end.
struct Gate {
    address: SocketAddr,
    /// Connections that came, those that are open, and those that have said the word.
    came: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    silent: Arc<AtomicUsize>,
    /// Whether the word is kept.
    keeps: Arc<AtomicBool>,
}

impl Gate {
    async fn before(setting: &Setting, word: &'static [u8]) -> Self {
        let url: url::Url = setting.url.parse().expect("a URL");
        let database = url.socket_addrs(|| Some(5_432)).expect("an address")[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let gate = Self {
            address,
            came: Arc::default(),
            open: Arc::default(),
            silent: Arc::default(),
            keeps: Arc::new(AtomicBool::new(true)),
        };
        let [came, open, silent] = [&gate.came, &gate.open, &gate.silent].map(Arc::clone);
        let keeps = Arc::clone(&gate.keeps);
        tokio::spawn(async move {
            let unheard = Arc::<Mutex<Vec<TcpStream>>>::default();
            while let Ok((stream, _)) = listener.accept().await {
                came.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let [open, silent] = [&open, &silent].map(Arc::clone);
                let (keeps, unheard) = (Arc::clone(&keeps), Arc::clone(&unheard));
                tokio::spawn(async move {
                    let is_kept = |said: &[u8]| {
                        let is_said = said.windows(word.len()).any(|part| part == word);
                        let is_kept = is_said && keeps.load(Ordering::SeqCst);
                        silent.fetch_add(is_kept.into(), Ordering::SeqCst);
                        is_kept
                    };
                    let inner = pass(stream, database, is_kept).await;
                    unheard.lock().await.extend(inner);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        gate
    }

    /// Waits until so many connections have said the word.
    async fn until_silent(&self, wanted: usize) {
        while self.silent.load(Ordering::SeqCst) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Until the one who came has closed the connection. The database's end of it, if that is not to hear of this.
async fn pass(
    mut stream: TcpStream,
    database: SocketAddr,
    is_kept: impl Fn(&[u8]) -> bool,
) -> Option<TcpStream> {
    let mut inner = TcpStream::connect(database).await.expect("the database is there");
    let (mut asked, mut answer) = ([0; 8_192], [0; 8_192]);
    let mut answers = true;
    loop {
        tokio::select! {
            read = stream.read(&mut asked) => match read {
                Ok(1..) if !answers => {}
                Ok(length @ 1..) => {
                    let said = &asked[..length];
                    answers = !is_kept(said);
                    if answers {
                        inner.write_all(said).await.expect("the database is there");
                    }
                }
                _ => return (!answers).then_some(inner),
            },
            read = inner.read(&mut answer), if answers => match read {
                Ok(length @ 1..) => {
                    if stream.write_all(&answer[..length]).await.is_err() {
                        return None;
                    }
                }
                _ => return None,
            },
        }
    }
}

/// So many connections that were of no use.
const ATTEMPTS: usize = 16;

/// Of these, no more are open at once: those of two threads, four that may hold the lock of the run, and what
/// somebody is about to close.
const MOST: usize = 8;

async fn few_are_open(word: &'static [u8]) {
    let setting = Setting::shared();
    let gate = Gate::before(&setting, word).await;
    let bonn = setting.switch("bonn", "").await;
    bonn.until(&[("bonn", Alive)]).await;
    let more = "lease_ms = 2000\n[[limits]]\nname = \"box\"\npeers = [\"box\"]\nmax_calls = 30\n\
                [peers.box]\naddress = \"127.0.0.1\"\nqualify = false\n";
    let _berlin = setting.switch_by("berlin", gate.address, more).await;
    let seen = async {
        while gate.came.load(Ordering::SeqCst) < ATTEMPTS {
            let open = gate.open.load(Ordering::SeqCst);
            assert!(open <= MOST, "{open} are open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("it goes on trying");
}

#[tokio::test]
async fn however_often_the_database_takes_a_connection_and_says_no_more_few_are_open() {
    few_are_open(b"LISTEN").await;
}

#[tokio::test]
async fn however_often_it_does_not_say_whether_a_run_has_its_lock_few_are_open() {
    few_are_open(b"pg_advisory_lock_shared").await;
}

#[tokio::test]
async fn tables_that_are_as_they_are_to_be_are_not_waited_for_where_somebody_holds_their_lock() {
    let setting = Setting::shared();
    setting.store().await;
    // What the lock is asked for by.
    let gate = Gate::before(&setting, b"pg_advisory_lock(").await;
    let opened = tokio::time::timeout(PATIENCE, setting.store_by(gate.address)).await;
    opened.expect("nobody is asked for the lock");
}

/// Sets a shared configuration by the gate.
async fn set_by(gate: &Gate, setting: &Setting) -> Result<i64, NotShared> {
    let url = setting.url_by(gate.address);
    let text = Setting::section_of_store(url.as_str());
    let config = Config::parse("oneport.toml".as_ref(), &text).expect("it is well");
    let StorePlace::Server { url, .. } = config.store.place else { panic!("a server") };
    set_shared(&url, "", "ann", None).await
}

#[tokio::test]
async fn a_shared_configuration_is_set_though_old_ones_cannot_be_deleted() {
    let setting = Setting::shared();
    setting.store().await;
    let gate = Gate::before(&setting, b"DELETE FROM shared_configuration").await;
    assert_eq!(set_by(&gate, &setting).await.expect("it is in force"), 1);
}

#[tokio::test]
async fn whoever_sets_one_and_is_not_answered_hears_that_it_may_be_set() {
    let setting = Setting::shared();
    setting.store().await;
    let gate = Gate::before(&setting, b"INSERT INTO shared_configuration").await;
    let error = set_by(&gate, &setting).await.expect_err("it does not answer");
    assert!(matches!(error, NotShared::Unsure), "{error}");
}

/// Ann is written to be at berlin by a connection that the gate keeps silent before it is through.
async fn begin_to_write(gate: &Gate, store: &PostgresStore) {
    let silent = gate.silent.load(Ordering::SeqCst) + 1;
    let records = [ann("berlin", 20)];
    tokio::select! {
        written = store.write(&records) => panic!("{written:?}"),
        () = gate.until_silent(silent) => {}
    }
}

#[tokio::test]
async fn what_a_switch_was_writing_when_it_was_cut_off_holds_up_no_other() {
    let setting = Setting::shared();
    let bonn = setting.store().await;
    let gate = Gate::before(&setting, b"COMMIT").await;
    begin_to_write(&gate, &*setting.store_by(gate.address).await).await;
    bonn.write(&[ann("bonn", 10)]).await.expect("nobody is before it for long");
    let there = bonn.registrations().await.expect("readable");
    assert_eq!(there[0].switch.as_deref(), Some("bonn"));
}

#[tokio::test]
async fn connections_that_are_never_answered_again_leave_their_places_to_new_ones() {
    let setting = Setting::shared();
    setting.store().await;
    let gate = Gate::before(&setting, b"COMMIT").await;
    let berlin = setting.store_by(gate.address).await;
    // So many write at most.
    for _ in 0..2 {
        begin_to_write(&gate, &berlin).await;
    }
    gate.keeps.store(false, Ordering::SeqCst);
    let written = async { while berlin.write(&[ann("berlin", 10)]).await.is_err() {} };
    tokio::time::timeout(PATIENCE, written).await.expect("new ones are answered");
}
