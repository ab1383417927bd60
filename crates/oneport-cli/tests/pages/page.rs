//! Pages of the documentation: their configuration is served, and their commands run as they are
//! written.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::free_port;

use crate::markdown::Markdown;

/// A page and the switch of its configuration; both are gone when it is dropped.
pub(crate) struct Page {
    text: String,
    directory: tempfile::TempDir,
    serve: Child,
    api: String,
    /// Ports that stand for peers which are not there.
    _silent: Vec<UdpSocket>,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.serve.kill();
        let _ = self.serve.wait();
    }
}

impl Page {
    /// Serves the configuration of a page. It listens on the first of `ports`, for which one that is
    /// free is put in, as is for the others, where nobody answers: others may have those of the page
    /// on this machine. `prepare` gets the directory of the configuration before.
    pub(crate) fn serve(text: &str, ports: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let mut text = text.to_string();
        let mut silent = Vec::new();
        for (n, port) in ports.iter().enumerate() {
            let free = free_port();
            text = text.replace(port, &free.to_string());
            if n > 0 {
                silent.push(UdpSocket::bind(("127.0.0.1", free)).expect("it is free"));
            }
        }
        let (_, rest) = text.split_once("```toml\n").expect("a configuration");
        let (config, _) = rest.split_once("```").expect("its end");
        let directory = tempfile::tempdir().expect("a directory");
        // A busy machine takes all calls, where the page says nothing else.
        let overload = match config.contains("[overload]") {
            true => "",
            false => "\n[overload]\nenabled = false\n",
        };
        let config = format!("{config}{overload}");
        std::fs::write(directory.path().join("oneport.toml"), config).expect("writable");
        prepare(directory.path());
        let mut serve = Command::new(cargo_bin("oneport"));
        serve.args(["serve", "--api", "127.0.0.1:0", "--config", "oneport.toml"]);
        serve.current_dir(directory.path()).env("STATE_DIRECTORY", directory.path());
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut serve = serve.spawn().expect("it starts");
        let output = BufReader::new(serve.stdout.take().expect("piped"));
        let api = output.lines().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("the API listens on http://")?;
            Some(rest.split([' ', ';']).next()?.to_string())
        });
        let Some(api) = api else {
            let _ = serve.kill();
            panic!("it does not say where its API is");
        };
        Self { text, directory, serve, api, _silent: silent }
    }

    /// A file beside the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where its API is: address and port.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// The file with the token of its API.
    pub(crate) fn token(&self) -> PathBuf {
        let (_, port) = self.api.rsplit_once(':').expect("a port");
        self.file(&format!("api-{port}.token"))
    }

    /// Its text, with the ports that were put in.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Runs all its blocks of commands, but for lines that start the switch, and gives what they
    /// print. `least`: so many commands of ours are in them.
    pub(crate) fn run_commands(&self, least: usize) -> String {
        let page = Markdown::of(&self.text);
        let blocks = page.blocks.iter().filter(|block| block.is_run());
        let lines = blocks.flat_map(|block| block.text.lines());
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with("oneport serve")).collect();
        let script = lines.join("\n");
        let commands = script.matches("oneport ").count();
        assert!(commands >= least, "{commands} commands:\n{script}");
        self.run(&script)
    }

    /// Runs a script beside the configuration, and gives what it prints.
    pub(crate) fn run(&self, script: &str) -> String {
        let own = cargo_bin("oneport");
        let own = own.parent().expect("a directory").display();
        let path = format!("{own}:{}", std::env::var("PATH").unwrap_or_default());
        let done = Command::new("timeout")
            .args(["300", "sh", "-e", "-c", script])
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("ONEPORT_API", &self.api)
            .env("STATE_DIRECTORY", self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{script}\n{said}\n{errors}");
        said.into_owned()
    }
}
