//! What the database is asked, as it says itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use oneport::{Call, CauseCode, Phone};
use oneport_switch::api::model::SwitchState::Alive;
use oneport_switch::store::{CdrFilter, Order, Paging, Store};
use oneport_testkit::peers::database::{DatabaseServer, Kind};
use tokio::task::JoinSet;

use crate::setting::{PATIENCE, PEERS, Setting, from, incoming, phone, register};

/// Calls that are set up at once; a part of them goes to the other switch.
const CALLS: usize = 200;
const ELSEWHERE: usize = 40;

/// Signs of life of both switches for which nothing else happens.
const QUIET: usize = 40;

const BEAT: &str = "UPDATE switch SET heartbeat_time";
const RENEWAL: &str = "FROM pg_locks";

/// How often each statement was executed.
fn executed(log: &str) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for line in log.lines() {
        // `execute NAME: TEXT`, or `statement: TEXT`.
        let Some((_, what)) = line.split_once("LOG:  ") else { continue };
        if let Some((kind, text)) = what.split_once(": ")
            && (kind == "statement" || kind.starts_with("execute "))
        {
            *all.entry(text.to_string()).or_default() += 1;
        }
    }
    all
}

fn count(all: &BTreeMap<String, usize>, what: &str) -> usize {
    all.iter().filter(|(text, _)| text.contains(what)).map(|(_, count)| count).sum()
}

/// Waits until the database has seen so many signs of life after the first bytes of its log.
async fn beats(setting: &Setting, behind: usize, wanted: usize) {
    let seen = async {
        while count(&executed(&setting.server.log()[behind..]), BEAT) < wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("both live");
}

/// A call that is answered.
async fn up(phone: Phone, to: SocketAddr, number: &str) -> (Phone, Call) {
    let mut call = phone.call(to, from("bob", number)).await.expect("placed");
    tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
    (phone, call)
}

#[tokio::test]
async fn calls_are_set_up_without_a_word_to_the_database_but_of_leases_and_recorded_in_batches() {
    let setting = Setting::of(DatabaseServer::start(Kind::Postgres).into());
    setting.log_statements().await;
    let more = format!(
        "{PEERS}[server]\nmax_calls_per_address = 10000\nmax_challenges_per_user = 2000\n\
         [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n\
         [[limits]]\nname = \"box\"\npeers = [\"bob\"]\nmax_calls = 1000\n"
    );
    let berlin = setting.switch("berlin", &more).await;
    let bonn = setting.switch("bonn", &more).await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    bonn.until(&[("bonn", Alive), ("berlin", Alive)]).await;
    let ann = phone();
    let _registration = register(&ann, &bonn, "ann").await;
    berlin.until_elsewhere(1).await;
    // Leases are renewed in this time as well.
    beats(&setting, 0, QUIET).await;
    let quiet = executed(&setting.server.log());
    assert!(count(&quiet, RENEWAL) > 0, "{quiet:#?}");

    let behind = setting.server.log().len();
    let mut calls = JoinSet::new();
    for n in 0..CALLS {
        let number = if n < ELSEWHERE { "ann" } else { "600" };
        calls.spawn(up(phone(), berlin.address, number));
    }
    let answering = async {
        let mut theirs = Vec::new();
        for _ in 0..ELSEWHERE {
            theirs.push(incoming(&ann).await.answer().await.expect("the caller waits"));
        }
        theirs
    };
    let (calls, theirs) = tokio::join!(calls.join_all(), answering);
    beats(&setting, behind, QUIET).await;
    let busy = executed(&setting.server.log()[behind..]);
    let new: Vec<&String> = busy.keys().filter(|text| !quiet.contains_key(*text)).collect();
    assert!(new.is_empty(), "{CALLS} calls ask what nobody asked before: {new:#?}");
    let (renewals, all) = (count(&busy, RENEWAL), busy.values().sum::<usize>());
    println!("{CALLS} calls set up: {all} statements, {renewals} renewals of leases");
    assert!(renewals < CALLS / 2, "{renewals} renewals of leases for {CALLS} calls");
    // Each sign of life is followed by a look at the others.
    let looks = count(&busy, "FROM switch WHERE name");
    assert!(looks <= count(&busy, BEAT) + 2, "{busy:#?}");

    let behind = setting.server.log().len();
    for (_, call) in &calls {
        call.hangup(CauseCode::NORMAL_CLEARING);
    }
    let store = setting.store().await;
    let written = async {
        let all = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
        // A leg of each, and three more of those that went to the other switch.
        while store.cdrs(&CdrFilter::default(), all).await.expect("readable").records.len()
            < CALLS + 3 * ELSEWHERE
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("all are recorded");
    let batches = count(&executed(&setting.server.log()[behind..]), "INSERT INTO cdr");
    println!("{CALLS} calls recorded in {batches} batches");
    assert!(batches < CALLS / 2, "{batches} batches for {CALLS} calls");
    drop(theirs);
}
