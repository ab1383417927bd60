//! Pages on which Oneport stands beside Asterisks: all of them run as the page has them, in a network of
//! their own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use oneport_testkit::peers::asterisk::Asterisk;

use crate::markdown::{Markdown, Note};
use crate::network::{Network, Serve};

/// What pages call the machine on which Oneport runs.
const HOST: &str = "oneport.example.org";

/// A page, its switch and its boxes; all are gone when it is dropped.
pub(crate) struct Boxes {
    page: Markdown,
    serve: Serve,
    asterisks: BTreeMap<String, Asterisk>,
    directory: tempfile::TempDir,
    network: Network,
}

impl Boxes {
    /// Starts what a page tells of: the boxes by the names in its comments, each with its `iax.conf`,
    /// `extensions.conf` and `pjsip.conf`, and the switch with its `oneport.toml`.
    pub(crate) fn start(text: &str) -> Self {
        let text = text.replace(HOST, "127.0.0.1");
        let page = Markdown::of(&text);
        let network = Network::new();
        let directory = tempfile::tempdir().expect("a directory");
        let own = directory.path();
        let mut asterisks = BTreeMap::new();
        for block in &page.blocks {
            let Some(Note::File { on, .. }) = &block.note else { continue };
            if on == "oneport" || asterisks.contains_key(on) {
                continue;
            }
            let of = |name: &str| page.file(on, name).unwrap_or_default();
            // The testkit has begun that section.
            let iax = of("iax.conf");
            let iax = iax.strip_prefix("[general]\n").unwrap_or(iax);
            let files = [("etc/pjsip.conf", of("pjsip.conf").as_bytes())];
            let files = if files[0].1.is_empty() { &[] } else { &files[..] };
            let asterisk =
                Asterisk::start_in_with(network.name(), iax, of("extensions.conf"), files);
            console(own, on, &asterisk);
            asterisks.insert(on.clone(), asterisk);
        }
        let config = page.file("oneport", "oneport.toml").expect("a configuration");
        fs::write(own.join("oneport.toml"), config).expect("writable");
        let serve = network.serve(own, "oneport serve --config oneport.toml");
        Self { page, serve, asterisks, directory, network }
    }

    /// Runs all commands of the page, each on the box that it names, and gives what they print.
    pub(crate) fn run_commands(&self) -> String {
        let mut script = String::from("ALL=$PATH\n");
        for block in self.page.blocks.iter().filter(|block| block.is_run()) {
            if let Some(Note::On(name)) = &block.note {
                let at = self.directory.path().join(name);
                assert!(at.exists(), "no box is {name}");
                script += &format!("PATH={}:$ALL\n", at.display());
            }
            let lines = block.text.lines().filter(|line| !line.starts_with("oneport serve"));
            lines.for_each(|line| script += &format!("{line}\n"));
        }
        self.run(&script)
    }

    /// Runs a script beside the configuration, and gives what it prints.
    pub(crate) fn run(&self, script: &str) -> String {
        self.network.run(self.directory.path(), script)
    }

    /// What the console of the box of this name answers.
    pub(crate) fn asks(&self, name: &str, command: &str) -> String {
        self.asterisks[name].cli(command)
    }

    /// What the box of this name has written into its log.
    pub(crate) fn log_of(&self, name: &str) -> String {
        self.asterisks[name].log()
    }

    /// What the switch has.
    pub(crate) fn log(&self) -> String {
        self.serve.log()
    }
}

/// The command `asterisk` of a box, in a directory of its name.
fn console(own: &Path, name: &str, asterisk: &Asterisk) {
    let directory = own.join(name);
    fs::create_dir(&directory).expect("writable");
    let program = directory.join("asterisk");
    let command = asterisk.command().join("' '");
    fs::write(&program, format!("#!/bin/sh\nexec '{command}' \"$@\"\n")).expect("writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
}
