//! A database that takes connections, and answers only the beginning of what it is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneport_switch::api::model::SwitchState::Alive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::setting::{PATIENCE, Setting};

/// Something before the database: from the first word that it is to keep to itself on, it takes what a connection
/// says, and nothing comes back by it.
struct Gate {
    address: SocketAddr,
    /// Connections that came, and those that are open.
    came: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Gate {
    async fn before(database: SocketAddr, word: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (came, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let gate = Self { address, came: Arc::clone(&came), open: Arc::clone(&open) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                came.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    pass(stream, database, word).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        gate
    }
}

/// Until the one who came has closed the connection.
async fn pass(mut stream: TcpStream, database: SocketAddr, word: &[u8]) {
    let mut inner = TcpStream::connect(database).await.expect("the database is there");
    let (mut asked, mut answer) = ([0; 8_192], [0; 8_192]);
    let mut answers = true;
    loop {
        tokio::select! {
            read = stream.read(&mut asked) => match read {
                Ok(1..) if !answers => {}
                Ok(length @ 1..) => {
                    let said = &asked[..length];
                    answers = !said.windows(word.len()).any(|part| part == word);
                    if answers {
                        inner.write_all(said).await.expect("the database is there");
                    }
                }
                _ => return,
            },
            read = inner.read(&mut answer), if answers => match read {
                Ok(length @ 1..) => if stream.write_all(&answer[..length]).await.is_err() { return },
                _ => return,
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
    let url: url::Url = setting.url.parse().expect("a URL");
    let database = url.socket_addrs(|| Some(5_432)).expect("an address")[0];
    let gate = Gate::before(database, word).await;
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
