//! The page about the switch: its configuration is good, and its calls do what it says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use oneport::media::wav;

const PAGE: &str = include_str!("../../../docs/switch.md");

struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_of_the_page_run_as_they_are_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, rest) = PAGE.split_once("```toml\n").expect("a configuration");
    let (config, _) = rest.split_once("```").expect("its end");
    // Others may have that port on this machine.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("the loopback has ports");
    let port = free.local_addr().expect("bound").port().to_string();
    drop(free);
    let here = |text: &str| text.replace("4570", &port);
    std::fs::write(directory.path().join("oneport.toml"), here(config)).expect("writable");
    let music = directory.path().join("music");
    std::fs::create_dir(&music).expect("writable");
    let mut writer = wav::Writer::create(&music.join("a.wav"), 8_000).expect("writable");
    writer.write(&[4_000; 8_000]).expect("writable");
    writer.finish().expect("writable");
    let oneport = cargo_bin("oneport");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&oneport);
        command.args(arguments).current_dir(directory.path()).stdin(Stdio::null());
        command.env("STATE_DIRECTORY", directory.path());
        command
    };
    let checked = run(&["check", "--config", "oneport.toml"]).output().expect("it runs");
    assert!(checked.status.success(), "{checked:?}");
    let mut serve = run(&["serve", "--api", "127.0.0.1:0", "--config", "oneport.toml"]);
    let serve = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut serve = Serve(serve);
    let output = BufReader::new(serve.0.stdout.take().expect("piped"));
    output.lines().next().expect("it greets").expect("text");
    // The blocks of commands, but those that start the switch and send it signals.
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|part| part.split_once("```"));
    let mut script = String::from("set -e\n");
    for (block, _) in
        blocks.filter(|(block, _)| !block.contains("serve") && !block.contains("kill"))
    {
        script.push_str(&here(block));
    }
    let calls = script.matches("oneport call").count();
    assert!(calls >= 5, "{calls} calls");
    let path = oneport.parent().expect("a directory").display().to_string();
    let path = format!("{path}:{}", std::env::var("PATH").unwrap_or_default());
    let done = Command::new("timeout")
        .args(["120", "sh", "-c", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .output()
        .expect("it runs");
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    let music = wav::read(&directory.path().join("music.wav"), 8_000).expect("recorded");
    assert!(music.iter().filter(|sample| **sample > 3_800).count() > 8_000, "no music");
}
