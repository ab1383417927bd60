//! A switch that does not come back.

use std::time::Duration;

use oneport_switch::api::model::SwitchState::{Alive, Dead, Left};
use oneport_switch::cluster::{Forgotten, NotForgotten, Session, forget};
use oneport_switch::{Config, StorePlace};

use crate::setting::{PATIENCE, PEERS, Setting, phone, register};

const LIMIT: &str = "[[limits]]\nname = \"all\"\npeers = [\"ann\"]\nmax_calls = 10\n";

async fn forgotten(
    setting: &Setting,
    name: &str,
    session: Session,
) -> Result<Forgotten, NotForgotten> {
    let text = Setting::section_of_store(&setting.url);
    let config = Config::parse("oneport.toml".as_ref(), &text).expect("it is well");
    let StorePlace::Server { url, .. } = config.store.place else { panic!("a server") };
    forget(&url, name, session).await
}

/// Waits until the ledgers say so of this switch.
async fn until_it_holds_slots(setting: &Setting, name: &str, holds: bool) {
    let sql = format!("SELECT count(*) FROM slots WHERE holders LIKE '%\"{name}\"%'");
    let seen = async {
        while (setting.server.run(&setting.url, &sql) != "0") != holds {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("it is so soon");
}

/// Nothing was heard of it for longer than a minute.
fn was_silent(setting: &Setting, name: &str) {
    let sql = format!(
        "UPDATE switch SET heartbeat_time = clock_timestamp() - interval '61 s' WHERE name = '{name}'"
    );
    let _ = setting.server.run(&setting.url, &sql);
}

#[tokio::test]
async fn a_switch_that_lives_is_not_forgotten_and_one_that_has_left_is() {
    let setting = Setting::shared();
    let berlin = setting.switch("berlin", "").await;
    let bonn = setting.switch("bonn", "").await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    for session in [Session::MayLive, Session::IsLeftBehind] {
        let refused = forgotten(&setting, "bonn", session).await.expect_err("it lives");
        assert!(matches!(&refused, NotForgotten::Alive(name, _) if name == "bonn"), "{refused}");
        let refused = forgotten(&setting, "paris", session).await.expect_err("who?");
        assert!(matches!(&refused, NotForgotten::Unknown(name) if name == "paris"), "{refused}");
    }
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    bonn.cluster.leave().await;
    berlin.until(&[("berlin", Alive), ("bonn", Left)]).await;
    forgotten(&setting, "bonn", Session::MayLive).await.expect("it has left");
    berlin.until(&[("berlin", Alive)]).await;
}

#[tokio::test]
async fn what_a_vanished_machine_has_is_free_when_somebody_says_that_it_is_gone() {
    let setting = Setting::shared();
    let shared = format!("{PEERS}{LIMIT}");
    let berlin = setting.switch("berlin", &shared).await;
    let bonn = setting.switch("bonn", &shared).await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    let phone = phone();
    let _ann = register(&phone, &bonn, "ann").await;
    berlin.until_elsewhere(1).await;
    until_it_holds_slots(&setting, "bonn", true).await;
    // Its process says nothing more; the session in which it held its slots is never closed.
    drop((bonn.driver, bonn.cluster));
    berlin.until(&[("berlin", Alive), ("bonn", Dead)]).await;
    let refused = forgotten(&setting, "bonn", Session::IsLeftBehind).await.expect_err("just now");
    assert!(matches!(refused, NotForgotten::Alive(..)), "{refused}");
    was_silent(&setting, "bonn");
    let refused = forgotten(&setting, "bonn", Session::MayLive).await.expect_err("it may live");
    assert!(matches!(refused, NotForgotten::Connected(_)), "{refused}");
    assert_eq!(berlin.shown().await.registered_elsewhere, 1, "nothing has changed");
    let gone = forgotten(&setting, "bonn", Session::IsLeftBehind).await.expect("it is gone");
    assert_eq!(gone, Forgotten { limits: 1, registrations: 1 });
    berlin.until(&[("berlin", Alive)]).await;
    berlin.until_elsewhere(0).await;
    until_it_holds_slots(&setting, "bonn", false).await;
    assert!(matches!(
        forgotten(&setting, "bonn", Session::MayLive).await,
        Err(NotForgotten::Unknown(_))
    ));
}
