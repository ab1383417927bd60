//! Who is there.

use oneport_switch::api::model::SwitchState::{Alive, CutOff, Dead, Left};
use oneport_testkit::peers::database::{DatabaseServer, Kind};

use crate::setting::Setting;

#[tokio::test]
async fn switches_hear_who_joins_who_leaves_and_who_gives_no_sign_of_life() {
    let setting = Setting::shared();
    let berlin = setting.switch("berlin", "").await;
    berlin.until(&[("berlin", Alive)]).await;
    let bonn = setting.switch("bonn", "").await;
    let essen = setting.switch("essen", "").await;
    for (one, others) in [(&berlin, ["bonn", "essen"]), (&bonn, ["berlin", "essen"])] {
        let own = if others[0] == "berlin" { "bonn" } else { "berlin" };
        one.until(&[(own, Alive), (others[0], Alive), (others[1], Alive)]).await;
    }
    essen.cluster.leave().await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive), ("essen", Left)]).await;
    // Its thread ends without a goodbye.
    drop(bonn.cluster);
    berlin.until(&[("berlin", Alive), ("bonn", Dead), ("essen", Left)]).await;
    let before = berlin.shown().await.switches[1].incarnation;
    let bonn = setting.switch("bonn", "").await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive), ("essen", Left)]).await;
    assert!(berlin.shown().await.switches[1].incarnation > before, "it is another run");
    bonn.until(&[("bonn", Alive), ("berlin", Alive), ("essen", Left)]).await;
}

#[tokio::test]
async fn a_switch_says_that_it_is_cut_off_and_is_back_with_the_database() {
    let setting = Setting::of(DatabaseServer::start(Kind::Postgres).into());
    let berlin = setting.switch("berlin", "").await;
    let bonn = setting.switch("bonn", "").await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    let run = berlin.shown().await.switches[0].incarnation;
    setting.server.kill();
    berlin.until(&[("berlin", CutOff), ("bonn", Alive)]).await;
    assert!(berlin.shown().await.cut_off.is_some());
    setting.server.start_again();
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    bonn.until(&[("bonn", Alive), ("berlin", Alive)]).await;
    let shown = berlin.shown().await;
    assert_eq!((shown.switches[0].incarnation, shown.cut_off), (run, None), "it is the same run");
}

#[tokio::test]
async fn of_two_switches_with_one_name_the_first_says_that_it_has_a_double() {
    let setting = Setting::shared();
    let first = setting.switch("berlin", "").await;
    first.until(&[("berlin", Alive)]).await;
    let second = setting.switch("berlin", "").await;
    first.until(&[("berlin", CutOff)]).await;
    let why = first.shown().await.cut_off.expect("it says why");
    assert!(why.contains("another process is switch berlin"), "{why}");
    second.until(&[("berlin", Alive)]).await;
}
