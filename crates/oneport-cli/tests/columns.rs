//! `oneport iax2 show` beside the console of a real Asterisk 22: the same columns.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, wait_for};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `oneport serve` with its API; killed when dropped.
struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(config: &Path, state: &Path) -> (Serve, String) {
    let mut process = Command::new(cargo_bin("oneport"))
        .args(["serve", "--api", "127.0.0.1:0", "--config"])
        .arg(config)
        .env("STATE_DIRECTORY", state)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(process.stdout.take().expect("piped"));
    let api = output.lines().map(|line| line.expect("text")).find_map(|line| {
        let rest = line.strip_prefix("the API listens on http://")?;
        Some(rest.split(' ').next().unwrap_or(rest).to_string())
    });
    (Serve(process), api.expect("it says where its API listens"))
}

/// What a command prints, without its last line end.
fn oneport(api: &str, state: &Path, arguments: &[&str]) -> String {
    let output = Command::new(cargo_bin("oneport"))
        .args(arguments)
        .args(["--api", api])
        .env("STATE_DIRECTORY", state)
        .env_remove("ONEPORT_API_TOKEN")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The line of a list that begins with this.
fn row<'a>(text: &'a str, beginning: &str) -> &'a str {
    text.lines()
        .find(|line| line.starts_with(beginning))
        .unwrap_or_else(|| panic!("no {beginning:?} in:\n{text}"))
}

/// A line with each digit as 0, so that shapes can be compared, and runs of them as one.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for character in line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }) {
        if character != '0' || !shape.ends_with('0') {
            shape.push(character);
        }
    }
    shape
}

/// Whether what stands in the same columns of two lines begins and ends alike: each column from its
/// heading's place to the next one's.
fn same_columns(heading: &str, theirs: &str, ours: &str, columns: &[&str]) {
    for column in columns {
        let at = heading.find(column).unwrap_or_else(|| panic!("no {column} in {heading:?}"));
        let begins = |line: &str| {
            let here = line.chars().nth(at).unwrap_or(' ');
            let before = line.chars().nth(at.saturating_sub(1)).unwrap_or(' ');
            (here == ' ', at == 0 || before == ' ')
        };
        assert_eq!(begins(theirs), begins(ours), "{column}\n{heading}\n{theirs}\n{ours}");
    }
}

#[test]
fn lists_have_the_columns_that_asterisk_prints() {
    let directory = tempfile::tempdir().expect("a directory");
    let (state, config) = (directory.path().to_owned(), directory.path().join("oneport.toml"));
    let (port, silent) = (free_port(), free_port());
    let peer = |kind: &str, name: &str, rest: &str| {
        format!("[{name}]\ntype={kind}\nsecret=secretof{name}\ndisallow=all\nallow=ulaw\n{rest}")
    };
    // The same peers on both sides: each is the other's `box`.
    let iax = format!(
        "register => box:secretofbox@127.0.0.1:{port}\n{}{}{}",
        peer("friend", "box", "host=dynamic\nqualify=yes\ncontext=default\n"),
        peer("peer", "far", &format!("host=127.0.0.1\nport={silent}\nqualify=no\nusername=near\n")),
        peer("friend", "lost", "host=dynamic\nqualify=yes\ntrunk=yes\n"),
    );
    let asterisk = Asterisk::start(&iax, "[default]\nexten => 600,1,Answer()\nsame => n,Echo()\n");
    let there = asterisk.address();
    let ours = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:{port}\"]\n\
         [peers.box]\nsecret = \"secretofbox\"\ncodecs = [\"ulaw\"]\n\
         [peers.far]\nsecret = \"secretoffar\"\naddress = \"127.0.0.1:{silent}\"\n\
         qualify = false\nusername = \"near\"\n\
         [peers.lost]\nsecret = \"secretoflost\"\ntrunk = true\n\
         [[registrations]]\nto = \"{there}\"\nusername = \"box\"\nsecret = \"secretofbox\"\n"
    );
    std::fs::write(&config, ours).expect("writable");
    let (_serve, api) = serve(&config, &state);
    let show = |what: &str| oneport(&api, &state, &["iax2", "show", what]);
    // Both know the other and find it well, and are registered there.
    wait_for("both to be registered and reached", PATIENCE, || {
        let registered = |text: &str| text.contains("Registered") && !text.contains("<Unreg");
        show("peers").contains("OK (")
            && asterisk.cli("iax2 show peers").contains("OK (")
            && registered(&show("registry"))
            && registered(&asterisk.cli("iax2 show registry"))
    });
    asterisk.originate(&format!("IAX2/box:secretofbox@127.0.0.1:{port}/600"), "600@default");
    wait_for("the call to be up on both sides", PATIENCE, || {
        show("channels").contains("ulaw")
            && asterisk.cli("iax2 show channels").contains("IAX2/box-")
    });
    let lists: [(&str, &[&str], &[&str]); 5] = [
        ("peers", &["Name/Username", "Host", "Mask", "Port", "Status"], &["far", "lost", "box"]),
        ("users", &["Username", "Secret", "Authen", "Def.Context", "A/C", "Codec Pref"], &["box"]),
        ("registry", &["Host", "dnsmgr", "Username", "Perceived", "State"], &["127.0.0.1:"]),
        (
            "channels",
            &["Channel", "Peer", "Username", "ID", "Seq", "Lag", "JitBuf", "Format", "FirstMsg"],
            &["IAX2/box-"],
        ),
        ("netstats", &["Channel", "FirstMsg", "LastMsg"], &["IAX2/box-"]),
    ];
    for (what, columns, rows) in lists {
        let theirs = asterisk.cli(&format!("iax2 show {what}"));
        let ours = show(what);
        let heading = theirs.lines().find(|line| line.contains(columns[0])).expect("a heading");
        let line_of = |text: &str| text.lines().position(|line| line == heading);
        assert_eq!(line_of(&theirs), line_of(&ours), "{what}:\n{theirs}\n{ours}");
        for beginning in rows {
            let (theirs, ours) = (row(&theirs, beginning), row(&ours, beginning));
            let length = |line: &str| line.chars().count();
            // The state of a registration ends its line, and the two may be at different messages.
            assert_eq!(length(theirs), length(ours), "{what}:\n{theirs}\n{ours}");
            same_columns(heading, theirs, ours, columns);
            let fields = |line: &str| line.split_whitespace().count();
            if what != "users" {
                assert_eq!(fields(theirs), fields(ours), "{what}:\n{theirs}\n{ours}");
            }
        }
        if what != "users" {
            let last = |text: &str| shape(text.lines().last().unwrap_or_default());
            assert_eq!(
                last(&theirs).replace("channels", "channel"),
                last(&ours).replace("channels", "channel"),
                "{what}"
            );
        }
    }
    let users = show("users");
    assert!(!users.contains("secretof"), "{users}");
    // What scripts cut out.
    let field = |text: &str, beginning: &str, n: usize| {
        row(text, beginning).split_whitespace().nth(n).unwrap_or_default().to_string()
    };
    let theirs = asterisk.cli("iax2 show peers");
    for name in ["far", "lost", "box"] {
        assert_eq!(field(&theirs, name, 0), field(&show("peers"), name, 0));
        assert_eq!(field(&theirs, name, 2), field(&show("peers"), name, 2), "(S) or (D)");
    }
}
