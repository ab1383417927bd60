//! What the doctor finds, in configurations of ours and of Asterisk.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use oneport_switch::SharedText;
use oneport_switch::cluster::{NotShared, SharedOffer, SwitchBehind};
use oneport_switch::doctor::{
    Finding, Severity, Weakness, examine, examine_asterisk, examine_rows, examine_shared,
};
use oneport_switch::import::Files;

/// One that has it all.
const WEAK: &str = r#"
[server]
call_token_optional = ["10.0.0.0/8", "0.0.0.0/0"]

[guests]
enabled = true

[api]
listen = "0.0.0.0:8569"

[peers.dialer]
secret = "dialer"
permit = ["0.0.0.0/0"]
auth = ["md5", "plaintext"]
call_token = "optional"
codecs = ["gsm"]

[peers.media]
address = "198.51.100.7"
secret = "short"
qualify = false
codecs = ["ulaw"]

[peers.box]
address = "10.0.0.7"
secret = "long enough to be good"
trunk = true
trunk_timestamps = false
qualify_seconds = 60
contexts = ["early", "late"]

[peers.twin]
secret = "long enough to be good"
permit = ["10.0.0.0/8"]
contexts = ["early", "late"]
auth = ["plaintext"]

[peers.lonely]
secret = "nobody calls for me"

[[routes]]
prefix = "9"
to = ["peer:media"]
from = ["dialer"]

[[routes]]
prefix = ""
contexts = ["early"]
to = ["peer:box"]

[[routes]]
pattern = "_2XX"
contexts = ["late"]
to = ["peer:twin"]

[[routes]]
number = "100"
contexts = ["nowhere"]
to = ["peer:twin"]

[[registrations]]
to = "192.0.2.1"
username = "site"

[[registrations]]
to = "192.0.2.2"
username = "site"
secret = "long and good enough"
allow_plaintext = true

[peers.site]
address = "10.0.0.9"

[peers.claim]
address = "10.0.0.10"
call_token = "optional"

[overload]
enabled = false

[traces]
to = "http://192.0.2.1:4318"
headers = ["X-Scope-OrgID: telephony"]
"#;

fn print(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "{finding}");
    }
    text
}

fn files(set: &str) -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/asterisk").join(set);
    let entries = std::fs::read_dir(root).expect("it is there").flatten();
    let files = entries.filter(|entry| entry.path().is_file()).map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(entry.path()).expect("text"))
    });
    files.collect()
}

fn weak() -> Vec<Finding> {
    examine(Path::new("oneport.toml"), WEAK, None, &|_| true).expect("a good configuration")
}

#[test]
fn a_weak_configuration_is_told_where_and_how_to_mend_it() {
    insta::assert_snapshot!("weak", print(&weak()));
}

#[test]
fn a_mesh_of_asterisks_is_told_its_weaknesses() {
    insta::assert_snapshot!("mesh", print(&examine_asterisk(&files("mesh"), &|_| true)));
}

#[test]
fn a_dialler_is_told_of_its_trunk() {
    insta::assert_snapshot!("dialer", print(&examine_asterisk(&files("dialer"), &|_| false)));
}

#[test]
fn of_amateur_radio_it_is_shown_and_not_blamed_that_nothing_is_encrypted() {
    let peer = "[peers.far]\nsecret = \"horse staple correct\"\naddress = \"198.51.100.7\"\n\
                encryption = \"off\"\n";
    let ids = |text: &str| -> Vec<(&str, Severity)> {
        let found = examine(Path::new("oneport.toml"), text, None, &|_| false).expect("good");
        let about = found
            .iter()
            .filter(|one| one.id.id().contains("encrypt") || one.id.id().contains("radio"));
        about.map(|one| (one.id.id(), one.severity)).collect()
    };
    assert_eq!(ids(peer), [("not-encrypted", Severity::Warning)]);
    let radio = format!("[server]\nprofile = \"amateur-radio\"\n{peer}");
    assert_eq!(ids(&radio), [("radio-in-the-clear", Severity::Notice)]);
}

/// What is found of a table in a SQLite file that these statements have made.
async fn of_rows(sql: &'static str) -> Vec<Finding> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("realtime.sqlite3");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let database = sqlx::SqlitePool::connect_with(options).await.expect("it is made");
    sqlx::raw_sql(sql).execute(&database).await.expect("good statements");
    database.close().await;
    let text = format!("# peers\n[realtime]\nurl = \"sqlite:{}\"\n", file.display());
    examine_rows(Path::new("oneport.toml"), &text, None).await.expect("a good configuration")
}

#[tokio::test]
async fn rows_that_lose_something_and_tables_without_a_column_are_named() {
    let table = "CREATE TABLE iaxfriends (name, host, secret, ipaddr, port, regseconds, setvar);";
    assert_eq!(of_rows(table).await, []);
    let findings = of_rows(
        "CREATE TABLE iaxfriends (name, host, secret, ipaddr, port, regseconds, setvar); \
         INSERT INTO iaxfriends (name, host, secret, setvar) VALUES \
         ('ann', 'dynamic', 'correct horse', NULL), ('bob', 'dynamic', 'battery', 'A=1'), \
         ('carol', 'dynamic', NULL, NULL);",
    )
    .await;
    let said = findings.iter().map(|one| (one.severity, one.line, one.what.as_str()));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            (
                Severity::Notice,
                2,
                "bob is a peer, but setvar=A=1: variables that a caller sends pass on; none is set here"
            ),
            (
                Severity::Warning,
                2,
                "carol is no peer: [carol]: it registers without a secret or key, so everybody could \
                 in its place"
            ),
        ]
    );
    let findings = of_rows("CREATE TABLE iaxfriends (name, host, secret, ipaddr, port)").await;
    assert_eq!(findings.len(), 1);
    let what = &findings[0].what;
    assert!(what.ends_with("table iaxfriends has no column regseconds"), "{what}");
}

/// One of several switches, with a route to a peer that is shared.
const MEMBER: &str = "\
[store]
url = \"postgres://oneport@192.0.2.9/oneport\"
secret = \"open, please\"

[cluster]
name = \"berlin\"
address = \"192.0.2.1\"
secret = \"sturdy bridge\"

[[routes]]
number = \"7\"
to = [\"peer:far\"]
";

const FAR: &str = "\n[peers.far]\nsecret = \"far\"\naddress = \"198.51.100.7\"\n";

/// What is found where the database has this, or why it does not say it, and the disk that.
fn of_shared(
    newest: Result<Option<SharedText>, NotShared>,
    kept: Option<SharedText>,
    behind: &[SwitchBehind],
) -> Vec<Finding> {
    let (path, offer) = (Path::new("oneport.toml"), SharedOffer { newest, kept });
    let (shared, mut findings) = examine_shared(path, MEMBER, &offer, behind).expect("one goes");
    findings.extend(examine(path, MEMBER, shared.as_ref(), &|_| true).expect("good"));
    findings
}

fn version(version: i64, text: &str) -> SharedText {
    SharedText { version: Some(version), text: text.into() }
}

/// Where that is found, and what of it.
fn found(findings: &[Finding], id: Weakness) -> Vec<(&str, usize, &str)> {
    let found = findings.iter().filter(|one| one.id == id);
    found.map(|one| (one.file.as_str(), one.line, one.what.as_str())).collect()
}

#[test]
fn what_is_weak_in_what_switches_share_is_told_at_its_line_there() {
    let findings = of_shared(Ok(Some(version(7, FAR))), None, &[]);
    let (place, what) = (("shared configuration 7", 3), "the secret of `far` is its name");
    assert_eq!(found(&findings, Weakness::SecretIsName), [(place.0, place.1, what)]);
    assert_eq!(found(&findings, Weakness::ReadableSecret), [], "it is in no file");
    let shared = findings.iter().filter(|one| one.id.id().starts_with("shared-"));
    assert_eq!(shared.count(), 0, "{findings:?}");
}

#[test]
fn a_database_that_does_not_say_what_is_shared_is_told_and_what_was_kept_is_examined() {
    let findings = of_shared(Err(NotShared::Late), Some(version(6, FAR)), &[]);
    let what = "the database does not answer within 5 s; shared configuration 6, which was kept \
                here, is examined";
    assert_eq!(found(&findings, Weakness::SharedUnread), [("oneport.toml", 5, what)]);
    assert_eq!(found(&findings, Weakness::SecretIsName)[0].0, "shared configuration 6");
}

#[test]
fn a_database_that_has_nothing_shared_any_more_is_told_and_what_was_kept_is_examined() {
    let findings = of_shared(Ok(None), Some(version(6, FAR)), &[]);
    let what =
        "the database has no shared configuration; shared configuration 6 is as it was kept here";
    assert_eq!(found(&findings, Weakness::SharedUnread), [("oneport.toml", 5, what)]);
    assert_eq!(found(&findings, Weakness::SecretIsName)[0].0, "shared configuration 6");
}

#[test]
fn a_newest_version_that_does_not_go_with_the_file_is_told_at_its_line_and_what_runs_is_examined() {
    let newest = version(8, &format!("{FAR}[[routes]]\nnumber = \"8\"\nto = [\"peer:fat\"]\n"));
    let findings = of_shared(Ok(Some(newest.clone())), Some(version(6, FAR)), &[]);
    let what = "there is no peer `fat`; shared configuration 6, which was kept here, is examined";
    assert_eq!(found(&findings, Weakness::SharedRefused), [("shared configuration 8", 7, what)]);
    assert_eq!(found(&findings, Weakness::SecretIsName)[0].0, "shared configuration 6");
    let offer = SharedOffer { newest: Ok(Some(newest)), kept: None };
    let error = examine_shared(Path::new("oneport.toml"), MEMBER, &offer, &[]).expect_err("no far");
    assert!(error.to_string().starts_with("shared configuration 8:7:"), "{error}");
}

#[test]
fn switches_that_do_not_run_the_newest_are_named() {
    let behind = [("bonn", Some(5)), ("paris", None)]
        .map(|(name, version)| SwitchBehind { name: name.into(), version });
    let findings = of_shared(Ok(Some(version(7, FAR))), None, &behind);
    let what =
        |runs: &str| format!("{runs} of what is shared, and the newest is shared configuration 7");
    let (bonn, paris) = (what("switch bonn runs version 5"), what("switch paris runs none"));
    let told = [("oneport.toml", 5, bonn.as_str()), ("oneport.toml", 5, paris.as_str())];
    assert_eq!(found(&findings, Weakness::SharedBehind), told);
}

#[tokio::test]
async fn each_weakness_is_found_and_documented() {
    // Nothing that encrypts may stand beside it.
    let radio = "[server]\nprofile = \"amateur-radio\"\n";
    let radio = examine(Path::new("oneport.toml"), radio, None, &|_| false).expect("good");
    let mut rows = of_rows("CREATE TABLE other (name)").await;
    rows.extend(
        of_rows(
            "CREATE TABLE iaxfriends (name, host, ipaddr, port, regseconds); \
             INSERT INTO iaxfriends (name, host) VALUES ('ann', 'dynamic')",
        )
        .await,
    );
    let behind = [SwitchBehind { name: "bonn".into(), version: None }];
    let newest = version(7, &format!("{FAR}[acls.box]\nsecret = \"x\"\n"));
    let shared = of_shared(Ok(Some(newest)), Some(version(6, FAR)), &behind).into_iter();
    let shared = shared.chain(of_shared(Err(NotShared::Late), Some(version(6, FAR)), &[]));
    let found = weak().into_iter().chain(radio).chain(rows).chain(shared);
    let found: BTreeSet<Weakness> = found.map(|finding| finding.id).collect();
    let document = include_str!("../../../docs/doctor.md");
    for weakness in Weakness::ALL {
        assert!(found.contains(&weakness), "{} is never found", weakness.id());
        let row =
            document.lines().find(|line| line.starts_with(&format!("| `{}` |", weakness.id())));
        let row = row.unwrap_or_else(|| panic!("{} is not documented", weakness.id()));
        assert!(row.contains(weakness.cost()), "{row}");
        assert_eq!(
            serde_json::to_string(&weakness).expect("JSON"),
            format!("{:?}", weakness.id()),
            "one name everywhere"
        );
    }
}

/// What is said of a peer without a secret at `address`.
fn of_an_address(address: &str, server: &str, peer: &str) -> Vec<(Weakness, Severity)> {
    let text = format!(
        "[server]\n{server}\n[peers.site]\naddress = \"{address}\"\ntrunk = true\n\
         encryption = \"off\"\n{peer}\n[[routes]]\nprefix = \"9\"\nto = [\"peer:site\"]\n"
    );
    let findings = examine(Path::new("oneport.toml"), &text, None, &|_| false).expect("good");
    let here = findings.iter().filter(|finding| finding.id == Weakness::SpoofablePeer);
    here.map(|finding| (finding.id, finding.severity)).collect()
}

#[test]
fn a_peer_that_shows_nothing_but_its_address_needs_a_call_token() {
    let from_office = "call_token_optional = [\"10.0.0.0/8\", \"198.51.100.0/24\"]";
    let spoofable = |severity| vec![(Weakness::SpoofablePeer, severity)];
    let private = of_an_address("10.0.0.7", from_office, "");
    assert_eq!(private, spoofable(Severity::Warning));
    let public = of_an_address("198.51.100.7", from_office, "");
    assert_eq!(public, spoofable(Severity::Danger));
    assert_eq!(of_an_address("192.0.2.7", from_office, ""), [], "another network");
    assert_eq!(of_an_address("10.0.0.7", "", ""), [], "no network is let off");
    let required = of_an_address("10.0.0.7", from_office, "call_token = \"required\"");
    assert_eq!(required, [], "it needs one");
    assert_eq!(of_an_address("10.0.0.7", from_office, "secret = \"s\""), [], "it has a secret");
    // The switch takes no notice of what the peer says itself.
    let own = "call_token = \"optional\"";
    assert_eq!(of_an_address("10.0.0.7", "", own), []);
    let told = |server: &str| {
        let text = format!("[server]\n{server}\n[peers.site]\naddress = \"10.0.0.7\"\n{own}\n");
        print(&examine(Path::new("oneport.toml"), &text, None, &|_| false).expect("good"))
    };
    assert!(told("").contains("without one its calls are refused"));
    assert!(!told(from_office).contains("refused"));
}

#[test]
fn asterisk_knows_a_peer_by_its_address_where_that_needs_no_call_token() {
    let iax = |peer: &str| {
        let general = "[general]\ncalltokenoptional=10.0.0.0/8\n";
        let text = format!("{general}[site]\ntype=friend\nqualify=yes\n{peer}\n");
        let files = Files::from([("iax.conf".to_string(), text)]);
        let findings = examine_asterisk(&files, &|_| false);
        findings.iter().any(|finding| finding.id == Weakness::SpoofablePeer)
    };
    assert!(iax("host=10.0.0.7"));
    assert!(!iax("host=10.0.0.7\nrequirecalltoken=yes"));
    assert!(!iax("host=192.0.2.7"));
    assert!(iax("host=192.0.2.7\nrequirecalltoken=no"));
    assert!(iax("host=192.0.2.7\nrequirecalltoken=auto"));
    for proof in ["secret=long enough", "inkeys=site", "dbsecret=site/secret"] {
        assert!(!iax(&format!("host=10.0.0.7\n{proof}")), "{proof}");
    }
    assert!(!iax("host=dynamic\nsecret=long enough"));
}

#[test]
fn a_good_configuration_is_left_in_peace() {
    let good = "[guests]\nenabled = false\n\
                [api]\nlisten = \"[::1]:8569\"\n\
                [peers.dialer]\nsecret = \"correct horse battery\"\npermit = [\"192.0.2.0/24\"]\n\
                [peers.media]\naddress = \"10.0.0.7\"\nsecret = \"staple of the battery\"\n\
                trunk = true\npermit = [\"10.0.0.0/8\"]\n\
                [[routes]]\nprefix = \"9\"\nto = [\"peer:media\"]\n";
    let findings = examine(Path::new("oneport.toml"), good, None, &|_| false).expect("good");
    assert!(findings.is_empty(), "{}", print(&findings));
}

#[test]
fn a_phone_that_speaks_sip_is_asked_by_the_gateway_and_its_secret_is_weighed_as_any_other() {
    let found = |keys: &str| {
        let text = format!("[peers.desk]\nprotocol = \"sip\"\n{keys}\n");
        let findings = examine(Path::new("oneport.toml"), &text, None, &|_| false).expect("good");
        let of_the_phone =
            |id: &Weakness| matches!(id, Weakness::NoQualify | Weakness::ShortSecret);
        findings.into_iter().map(|finding| finding.id).filter(of_the_phone).collect::<Vec<_>>()
    };
    assert_eq!(found("secret = \"staple of the battery\""), []);
    assert_eq!(found("secret = \"short\""), [Weakness::ShortSecret]);
    let unasked = "secret = \"staple of the battery\"\nqualify = false";
    assert_eq!(found(unasked), [Weakness::NoQualify]);
}

#[test]
fn a_mark_of_the_cpu_that_is_too_late_is_named_and_one_in_time_is_not() {
    let found = |percent: u32| {
        let text = format!("[overload]\ncpu_percent = {percent}\n");
        let findings = examine(Path::new("oneport.toml"), &text, None, &|_| false).expect("good");
        findings.into_iter().find(|finding| finding.id == Weakness::NoOverloadControl)
    };
    assert_eq!(found(97), None);
    let late = found(98).expect("two per cent are too little");
    assert_eq!((late.line, late.severity), (2, Severity::Warning));
    assert!(late.what.contains("at 98 %"), "{}", late.what);
}
