//! The README: its files and commands do what it says, beside a real Asterisk.

use std::time::Duration;

use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;

use crate::page::Page;

const README: &str = include_str!("../../../../README.md");

/// An Asterisk configuration to be imported.
const DIALER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/asterisk/dialer");

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The commands of ours, but those that go on for ever.
fn commands(page: &Page) -> Vec<String> {
    let lines = page.text().lines().filter_map(|line| line.strip_prefix("    "));
    let ours = lines.filter(|line| line.starts_with("oneport "));
    ours.filter(|line| !line.ends_with("--watch")).map(Into::into).collect()
}

#[test]
fn readme_files_and_commands_do_what_it_says_beside_a_real_asterisk() {
    // Where it listens is left to the default there; others may have that port here.
    let listen = "[server]\nlisten = [\"127.0.0.1:4570\"]\n\n[peers.box]";
    let text = README.replacen("[peers.box]", listen, 1).replace("127.0.0.1/", "127.0.0.1:4570/");
    let page = Page::serve(&text, &["4570"], |_| {});
    let port = page.text().split("listen = [\"127.0.0.1:").nth(1).expect("put in above");
    let port = port.split('"').next().expect("a port");
    let (_, iax) = page.text().split_once("```ini\n").expect("an iax.conf");
    let (iax, _) = iax.split_once("```").expect("its end");
    // The testkit has begun that section.
    let iax = iax.strip_prefix("[general]\n").expect("it begins with that");
    let iax = iax.replace("oneport.example.org", &format!("127.0.0.1:{port}"));
    let asterisk = Asterisk::start(&iax, "[default]\nexten => _9.,1,Answer()\nsame => n,Echo()\n");
    wait_for("Asterisk to register", PATIENCE, || {
        page.run("oneport show peers --json").contains("\"state\": \"ok\"")
    });
    let call = format!(
        "ONEPORT_SECRET=\"battery staple\" oneport call iax:desk@127.0.0.1:{port}/9123 --duration 1s"
    );
    page.run(&call);
    assert!(asterisk.log().contains("Executing [9123@default:1]"), "{}", asterisk.log());
    let commands = commands(&page);
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let command = command
            .replace("/etc/asterisk", DIALER)
            .replace("--output oneport.toml", "--output imported.toml");
        let said = match command.contains(" why ") || command.contains(" doctor ") {
            // There is no such call here; and something is weak.
            true => page.run(&format!("{command} || true")),
            false => page.run(&command),
        };
        if command.contains("iax2 show peers") {
            assert!(said.contains("box/oneport"), "{said}");
        }
    }
    let exported = std::fs::read_to_string(page.file("november.csv")).expect("written");
    assert!(exported.contains(",9123,"), "{exported}");
    assert!(page.file("back.wav").exists() && page.file("imported.toml").exists());
}
