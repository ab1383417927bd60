//! A softphone that is registered at a real Asterisk 22.

use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::asterisk::Asterisk;

use crate::softphone::calls;
use crate::terminal::Terminal;

const IAX: &str = "[ann]
type=friend
host=dynamic
secret=ann's own
context=office
disallow=all
allow=ulaw
auth=md5

[ben]
type=user
secret=ben's own
context=office
disallow=all
allow=ulaw
auth=md5
";

const DIALPLAN: &str = "[office]
exten => 600,1,Answer()
same => n,Echo()
exten => 601,1,Answer()
same => n,Read(keys,,3,,,20)
same => n,Verbose(0,ann pressed ${keys})
same => n,Echo()
exten => 602,1,Verbose(0,the caller came to 602)
same => n,Answer()
same => n,Wait(600)
exten => 603,1,Busy()
exten => 700,1,Dial(IAX2/ann)
";

fn phone(asterisk: &Asterisk) -> Terminal {
    let account = format!("iax:ann@{}", asterisk.address());
    let phone = Terminal::phone(&[&account, "--no-sound"], "ann's own", &[]);
    phone.sees("ready, registered for");
    phone
}

#[test]
fn a_call_at_asterisk_rings_is_held_sends_keys_and_is_sent_elsewhere() {
    let asterisk = Asterisk::start(IAX, DIALPLAN);
    let mut phone = phone(&asterisk);
    let mut caller = Command::new(cargo_bin("oneport"))
        .args(["call", &format!("iax:ben@{}/700", asterisk.address()), "--from", "702"])
        .args(["--dtmf", "42", "--duration", "60s"])
        .env("ONEPORT_SECRET", "ben's own")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    phone.sees("calls you");
    phone.press("a");
    phone.sees("talking");
    phone.sees("got 42");
    phone.press("h");
    phone.sees("on hold");
    phone.press("h");
    phone.sees("talking");
    phone.press("t602\n");
    asterisk.wait_for_log("the caller came to 602");
    phone.wait("no call", |screen| calls(screen).is_empty());
    phone.press("q");
    assert_eq!(phone.ends(), 0);
    let _ = caller.kill();
    let _ = caller.wait();
}

#[test]
fn calls_at_asterisk_are_heard_take_keys_and_end_with_a_reason() {
    let asterisk = Asterisk::start(IAX, DIALPLAN);
    let phone = phone(&asterisk);
    phone.press("d601\n");
    phone.sees("talking");
    phone.press("4*7");
    asterisk.wait_for_log("ann pressed 4*7");
    phone.sees("ulaw");
    phone.press("x");
    phone.sees("hung up here");
    phone.press("603\n");
    phone.sees("busy");
    phone.press("999\n");
    phone.sees("there is no such number");
}
