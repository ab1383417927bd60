//! The page about several switches: its configuration makes three of them, and its command says who is there.

use std::fs;

use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};
use oneport_testkit::peers::{own_loopback, wait_for};

use crate::network::PATIENCE;
use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/cluster.md");

/// The switch of this name, as the page sets it up, with this database.
fn switch(name: &str, url: &str) -> Page {
    let ip = own_loopback().to_string();
    let listen = format!("[server]\nlisten = [\"{ip}:4569\"]\n\n[store]\n");
    let text = PAGE
        .replacen("[store]\n", &listen, 1)
        .replace("postgres://oneport@db.example.org/oneport", url)
        .replace("/etc/oneport/", "")
        .replace("192.0.2.10", &ip)
        .replace("\"berlin\"", &format!("\"{name}\""));
    Page::serve(&text, &[], |directory| {
        fs::write(directory.join("database"), PASSWORD).expect("writable");
        fs::write(directory.join("cluster"), "sturdy bridge").expect("writable");
    })
}

#[test]
fn three_switches_set_up_by_the_page_know_one_another_and_see_one_die() {
    let server = DatabaseServer::shared(Kind::Postgres);
    let url = server.new_database();
    let [berlin, bonn, cologne] = ["berlin", "bonn", "cologne"].map(|name| switch(name, &url));
    let shows = |page: &Page, wanted: &[(&str, &str)]| {
        let said = page.run_commands(1);
        wanted.iter().all(|(name, state)| {
            said.lines().any(|line| line.contains(name) && line.contains(state))
        })
    };
    for (page, own) in [(&berlin, "berlin"), (&bonn, "bonn"), (&cologne, "cologne")] {
        let state = |name| if name == own { "here" } else { "alive" };
        let wanted = ["berlin", "bonn", "cologne"].map(|name| (name, state(name)));
        wait_for("each to know all", PATIENCE, || shows(page, &wanted));
    }
    drop(cologne);
    let wanted = [("berlin", "here"), ("bonn", "alive"), ("cologne", "dead")];
    wait_for("one to be missing", PATIENCE, || shows(&berlin, &wanted));
}
