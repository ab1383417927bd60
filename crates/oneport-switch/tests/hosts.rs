//! Hosts of peers and registrars that cannot be found, and files that name what is not there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oneport::{CallError, CauseCode, Driver, DriverConfig, NewCall, Phone, PhoneConfig, Secret};
use oneport_switch::{Config, KnownHosts, StorePlace, Switch};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names below `.invalid` are never found (RFC 6761).
const LOST: &str = "
[server]
listen = [\"127.0.0.1:0\"]
[peers.ann]
secret = \"a\"
[peers.site]
address = \"site.invalid:4570\"
[peers.provider]
address = \"provider.invalid\"
secret = \"p\"
[[registrations]]
to = \"registrar.invalid\"
username = \"us\"
[[routes]]
number = \"1\"
to = [\"peer:provider\", \"builtin:echo\"]
";

fn file(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("oneport.toml");
    std::fs::write(&file, text).expect("writable");
    file
}

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

fn from(name: &str, secret: Option<&str>, number: &str) -> NewCall {
    let mut call = NewCall::to(number);
    call.username = Some(name.into());
    call.secret = secret.map(Secret::from);
    call
}

#[tokio::test]
async fn a_switch_runs_though_hosts_cannot_be_found_and_nobody_is_taken_for_their_peers() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path(), LOST);
    let mistake = Config::load(&file).expect_err("whoever checks it is told");
    assert!(mistake.to_string().contains("`provider.invalid` cannot be found"), "{mistake}");
    let config = Config::load_to_run(&file, &KnownHosts::new()).expect("it can run");
    let lost: Vec<&str> = config.lost_hosts.iter().map(String::as_str).collect();
    assert_eq!(lost, ["provider.invalid", "registrar.invalid", "site.invalid"]);
    assert!(config.registrations.is_empty());
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let switch = Driver::start(driver, Switch::new(config)).expect("started");
    let to = switch.local_addresses()[0];
    let ann = phone();
    let mut call = ann.call(to, from("ann", Some("a"), "1")).await.expect("placed");
    tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time").expect("by the next");
    let mut call = ann.call(to, from("ann", Some("a"), "provider")).await.expect("placed");
    match tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time") {
        Err(CallError::Ended(end)) => assert_eq!(end.cause, CauseCode::DESTINATION_OUT_OF_ORDER),
        other => panic!("{other:?}"),
    }
    // It has no secret, and its address is not known: whoever says its name is a stranger.
    let mut call = ann.call(to, from("site", None, "1")).await.expect("placed");
    match tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time") {
        Err(CallError::Ended(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_keeps_its_address_while_the_name_server_is_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path(), LOST);
    let known = KnownHosts::from([("provider.invalid".into(), "192.0.2.1".parse().expect("one"))]);
    let config = Config::load_to_run(&file, &known).expect("it can run");
    assert_eq!(config.hosts, known);
    assert!(!config.lost_hosts.contains("provider.invalid"));
    assert!(!Config::hosts_have_moved(&config.hosts, &config.lost_hosts));
    let at_home = KnownHosts::from([("localhost".into(), "192.0.2.1".parse().expect("one"))]);
    assert!(Config::hosts_have_moved(&at_home, &Default::default()), "it is elsewhere");
}

#[test]
fn what_a_file_would_do_is_told_without_the_secrets_and_hosts_that_it_names() {
    let text = format!(
        "{LOST}[peers.bob]\nsecret_file = \"/nowhere/bob\"\n\
         [peers.cid]\nsecret_env = \"ONEPORT_TEST_IS_NOT_SET\"\nencryption = \"required\"\n\
         [peers.dan]\ninkeys = [\"/nowhere/dan.pub\"]\noutkey = \"/nowhere/own.key\"\n\
         auth = [\"rsa\"]\n\
         [store]\npath = \"/var/lib/oneport/cdrs.db\"\n\
         [api.tokens.look]\nsecret_file = \"/nowhere/token\"\n"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path(), &text);
    assert!(Config::load_to_run(&file, &KnownHosts::new()).is_err(), "to run, it needs them");
    let config = Config::load_alone(&file).expect("to look at, it does not");
    assert!(config.hosts.is_empty(), "nobody was asked");
    let place = Config::store_place(&file).expect("named");
    assert_eq!(place, StorePlace::File("/var/lib/oneport/cdrs.db".into()));
}
