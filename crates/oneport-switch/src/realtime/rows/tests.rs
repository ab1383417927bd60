use std::path::Path;
use std::sync::Arc;

use oneport_proto::{EncryptionPolicy, TokenRule};

use super::*;
use crate::Config;

/// What stands in the file beside the rows.
const FILE: &str = "[realtime]\nurl = \"sqlite:/x\"\n[acls.lan]\npermit = [\"10.0.0.0/8\"]\n";

fn rows_beside(more: &str) -> Rows {
    let config = Config::parse(Path::new("test.toml"), &format!("{FILE}{more}")).expect("good");
    let basis = config.peer_basis.clone().expect("there is a file");
    Rows::new(config.realtime.as_ref().expect("tables"), basis, &[])
}

/// A table whose columns are those of its rows, in the order in which they come.
fn table(name: &str, rows: &[&[(&str, &str)]]) -> Table {
    let columns = rows.iter().flat_map(|row| row.iter().map(|(column, _)| (*column).to_string()));
    let mut seen = BTreeSet::new();
    let columns: Vec<String> = columns.filter(|column| seen.insert(column.clone())).collect();
    let texts = |row: &&[(&str, &str)]| {
        let value = |column: &String| row.iter().find(|(own, _)| own == column);
        columns.iter().map(|column| Some(value(column)?.1.to_string())).collect()
    };
    Table { name: name.into(), rows: rows.iter().map(texts).collect(), columns: columns.clone() }
}

fn friends(rows: &[&[(&str, &str)]]) -> Look {
    Look { peers: table("iaxfriends", rows), users: None }
}

/// The peer of one row, and what is said of it.
fn read(row: &[(&str, &str)]) -> (Option<Known>, Vec<String>) {
    let mut rows = rows_beside("");
    rows.take_all(&friends(&[row]));
    let (_, entry) = rows.entries().next().expect("it is known");
    (entry.peer.clone(), entry.remarks.clone())
}

/// The peer that the file would have by these keys.
fn written(keys: &str) -> Arc<Peer> {
    let text = format!("{FILE}[peers.ann]\n{keys}");
    let config = Config::parse(Path::new("test.toml"), &text).expect("good");
    let mut peer = config.peers["ann"].clone();
    Arc::make_mut(&mut peer).refresh = (peer.refresh.0.min(BELIEVED), peer.refresh.1.min(BELIEVED));
    peer
}

const DYNAMIC: [(&str, &str); 2] = [("name", "ann"), ("host", "dynamic")];

#[test]
fn a_row_is_the_peer_that_the_import_makes_of_its_section() {
    let row = [
        ("id", "7"),
        ("name", "ann"),
        ("type", "friend"),
        ("host", "dynamic"),
        ("secret", "correct horse"),
        ("context", "office"),
        ("auth", "md5"),
        ("trunk", "yes"),
        ("encryption", "yes"),
        ("requirecalltoken", "yes"),
        ("deny", "0.0.0.0/0.0.0.0"),
        ("permit", "192.0.2.0/255.255.255.0"),
        ("disallow", "all"),
        ("allow", "alaw,ulaw"),
        ("ipaddr", "192.0.2.7"),
        ("port", "4570"),
        ("regseconds", "1800000000"),
        ("regserver", "berlin"),
    ];
    let (known, remarks) = read(&row);
    assert_eq!(remarks, [""; 0]);
    let keys = "secret = \"correct horse\"\ncontexts = [\"office\"]\ntrunk = true\n\
                encryption = \"allowed\"\npermit = [\"192.0.2.0/24\"]\ncodecs = [\"alaw\", \"ulaw\"]\n";
    assert_eq!(known, Some((written(keys), TokenRule::Unset)));
}

#[test]
fn a_peer_with_a_fixed_host_has_its_port_and_does_not_register() {
    let row = [("name", "ann"), ("host", "192.0.2.9"), ("port", "4570"), ("secret", "s")];
    let mut rows = rows_beside("");
    let found = rows.take_all(&friends(&[&row]));
    assert_eq!(found.registered, []);
    assert!(!rows.is_dynamic("ann"));
    let peer = found.changed[0].1.as_ref().map(|(peer, _)| peer.clone());
    assert_eq!(peer, Some(written("secret = \"s\"\naddress = \"192.0.2.9:4570\"\n")));
}

#[test]
fn what_has_no_counterpart_is_said_of_its_row() {
    let (known, remarks) = read(&[&DYNAMIC[..], &[("secret", "s"), ("setvar", "A=1")]].concat());
    assert!(known.is_some());
    let why = "variables that a caller sends pass on; none is set here";
    assert_eq!(remarks, [format!("setvar=A=1: {why}")]);
}

#[test]
fn a_row_that_would_let_in_too_many_is_no_peer() {
    for (more, part) in [
        (&[("secret", "")][..], "without a secret or key"),
        (&[("dbsecret", "family/key")], "without a secret or key"),
        (&[("secret", "s"), ("acl", "lan,wan")], "there is no [acls.wan]"),
        (&[("secret", "s"), ("deny", "0.0.0.0/0")], "lets nobody in"),
    ] {
        let (known, remarks) = read(&[&DYNAMIC[..], more].concat());
        assert!(known.is_none(), "{more:?}");
        assert!(remarks.iter().any(|remark| remark.contains(part)), "{more:?}: {remarks:?}");
    }
    for name in ["", "general", "CallNumberLimits"] {
        let (known, remarks) = read(&[("name", name), ("host", "dynamic"), ("secret", "s")]);
        assert!(known.is_none() && remarks.len() == 1, "{name}: {remarks:?}");
    }
    let (known, remarks) = read(&[("name", "switch:x"), ("host", "dynamic"), ("secret", "s")]);
    assert!(known.is_none() && remarks.len() == 1, "it would be another switch: {remarks:?}");
    let (known, _) = read(&[&DYNAMIC[..], &[("secret", "s"), ("acl", "lan")]].concat());
    let (peer, _) = known.expect("a peer");
    assert!(peer.permits([10, 1, 2, 3].into()) && !peer.permits([192, 0, 2, 1].into()));
}

#[test]
fn a_token_may_be_missing_where_the_row_says_so_and_from_where_it_comes() {
    let row = [&DYNAMIC[..], &[("secret", "s"), ("requirecalltoken", "no")]].concat();
    let (known, _) = read(&row);
    assert_eq!(known.map(|(_, rule)| rule), Some(TokenRule::Unset), "it may come from anywhere");
    let (known, _) = read(&[&row[..], &[("deny", "0.0.0.0/0"), ("permit", "10.0.0.0/8")]].concat());
    assert_eq!(known.map(|(_, rule)| rule), Some(TokenRule::No));
}

#[test]
fn texts_are_cut_and_decoded_as_asterisk_does_it() {
    assert_eq!(parts("ulaw;alaw "), ["ulaw", "alaw"]);
    assert_eq!(parts(" ; a b;; c "), [" a b", " c"]);
    assert_eq!(parts("a^26b^3bc^zz^2"), ["a&b;c^zz^2"]);
    assert_eq!(parts(""), [""; 0]);
}

#[test]
fn tables_of_users_and_of_peers_are_one_peer_with_the_secrets_of_both() {
    let mut rows = rows_beside("");
    (rows.users, rows.peers) = ("iaxusers".into(), "iaxpeers".into());
    let users = table(
        "iaxusers",
        &[
            &[("name", "ann"), ("secret", "calls"), ("context", "office"), ("type", "user")],
            &[("name", "bob"), ("secret", "b"), ("context", "office"), ("type", "")],
            &[("name", "wrong"), ("secret", "w"), ("context", "office"), ("type", "peer")],
        ],
    );
    let peers = table(
        "iaxpeers",
        &[
            &[("name", "ann"), ("host", "dynamic"), ("secret", "registers"), ("trunk", "yes")],
            &[("name", "carol"), ("host", "192.0.2.3"), ("secret", ""), ("trunk", "")],
        ],
    );
    let found = rows.take_all(&Look { peers, users: Some(users) });
    let peer = |name: &str| {
        let (_, known) = found.changed.iter().find(|(own, _)| own == name)?;
        known.as_ref().map(|(peer, _)| peer)
    };
    let ann = peer("ann").expect("a peer");
    assert_eq!(ann.secrets, ["registers", "calls"].map(Secret::from));
    assert_eq!(ann.contexts, ["office"]);
    assert!(ann.trunk.is_some() && rows.is_dynamic("ann"));
    let bob = peer("bob").expect("a peer");
    assert!(bob.address.is_none() && !rows.is_dynamic("bob"));
    assert_eq!(peer("carol").expect("a peer").contexts, ["nobody"], "it cannot call in Asterisk");
    assert!(peer("wrong").is_none());
}

#[test]
fn a_registration_changes_no_peer_and_anything_else_does_once() {
    let mut rows = rows_beside("");
    let row = |secret: &'static str, seconds: &'static str| {
        let registered = [("ipaddr", "192.0.2.7"), ("port", "4570"), ("regseconds", seconds)];
        [&DYNAMIC[..], &[("secret", secret)], &registered].concat()
    };
    let mut take = |row: &[&[(&str, &str)]]| {
        let found = rows.take_all(&friends(row));
        (found.changed.len(), found.registered.len())
    };
    assert_eq!(take(&[&row("s", "0")]), (1, 0), "new, and registered nowhere");
    assert_eq!(take(&[&row("s", "1800000000")]), (0, 1));
    assert_eq!(take(&[&row("t", "1800000000")]), (1, 1));
    assert_eq!(take(&[&row("t", "x")]), (0, 0));
    assert_eq!(take(&[]), (1, 0), "gone");
    assert_eq!(take(&[]), (0, 0));
    let found = rows.take_one("ann", &friends(&[&row("s", "0")]));
    assert_eq!(found.changed.len(), 1);
    let found = rows.take_one("ANN", &friends(&[&row("s", "0")]));
    assert_eq!(found.changed.len(), 0, "a database that tells no cases apart found another");
}

#[test]
fn of_two_rows_with_one_name_the_first_counts() {
    let mut rows = rows_beside("");
    let one = [("name", "ann"), ("host", "192.0.2.1")];
    let two = [("name", "ann"), ("host", "192.0.2.2")];
    let found = rows.take_all(&friends(&[&one, &two]));
    let peer = found.changed[0].1.as_ref().map(|(peer, _)| peer.address);
    assert_eq!(peer, Some(Some(SocketAddr::from(([192, 0, 2, 1], 4569)))));
}

#[test]
fn another_configuration_is_taken_for_rows_that_have_not_changed() {
    let look = friends(&[&[&DYNAMIC[..], &[("secret", "s")]].concat()]);
    let mut rows = rows_beside("");
    rows.take_all(&look);
    let mut anew = rows_beside("[server]\nencryption = \"required\"\n");
    anew.take_names_of(rows);
    let found = anew.take_all(&look);
    let (peer, _) = found.changed[0].1.as_ref().expect("a peer");
    assert_eq!(peer.encryption, EncryptionPolicy::Required);
    let mut last = rows_beside("");
    last.take_names_of(anew);
    assert_eq!(last.take_all(&friends(&[])).changed, [("ann".to_string(), None)]);
}
