//! The page for operators: its commands run, and show what they are there for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;

const PAGE: &str = include_str!("../../../docs/operation.md");

struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_of_the_page_for_operators_run_as_they_are_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, rest) = PAGE.split_once("```toml\n").expect("a configuration");
    let (config, _) = rest.split_once("```").expect("its end");
    // Others may have these ports on this machine.
    let free = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = socket.local_addr().expect("bound").port().to_string();
        (socket, port)
    };
    let ((own, port), (_carrier, other)) = (free(), free());
    drop(own);
    let here = |text: &str| text.replace("4570", &port).replace("4571", &other);
    std::fs::write(directory.path().join("oneport.toml"), here(config)).expect("writable");
    let oneport = cargo_bin("oneport");
    let mut serve = Command::new(&oneport);
    serve.args(["serve", "--api", "127.0.0.1:0", "--config", "oneport.toml"]);
    serve.current_dir(directory.path()).env("STATE_DIRECTORY", directory.path());
    serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut serve = Serve(serve.spawn().expect("it starts"));
    let output = BufReader::new(serve.0.stdout.take().expect("piped"));
    let api = output.lines().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("the API listens on http://")?;
        Some(rest.split([' ', ';']).next()?.to_string())
    });
    let api = api.expect("it says where its API is");
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|part| part.split_once("```"));
    let mut script = String::from("set -e\n");
    for (block, _) in blocks {
        for line in block.lines().filter(|line| !line.starts_with("oneport serve")) {
            script.push_str(&here(line));
            script.push('\n');
        }
    }
    let commands = script.matches("oneport ").count();
    assert!(commands >= 15, "{commands} commands:\n{script}");
    let path = oneport.parent().expect("a directory").display().to_string();
    let path = format!("{path}:{}", std::env::var("PATH").unwrap_or_default());
    let done = Command::new("timeout")
        .args(["300", "sh", "-c", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("ONEPORT_API", api)
        .env("STATE_DIRECTORY", directory.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{script}\n{said}\n{errors}");
    // The call that was refused is told of, with the limit that decided.
    assert!(said.contains("limit carrier"), "{said}\n{errors}");
    let records = std::fs::read_to_string(directory.path().join("cdrs.csv")).expect("written");
    assert!(records.lines().count() >= 3, "{records}");
}
