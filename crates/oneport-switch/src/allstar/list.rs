//! A file of nodes as AllStarLink publishes it and `app_rpt` reads it (`rpt_extnodes`): in the section `[extnodes]`
//! a line `2000=radio@192.0.2.1:4569/2000,192.0.2.1` for each.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oneport_proto::Secret;
use oneport_wire::DEFAULT_PORT;

/// A longer file is not read.
const MOST_BYTES: u64 = 64 << 20;

/// Where a node is, as the list says.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    /// The name by which it is called.
    pub(super) user: Option<String>,
    pub(super) secret: Option<Secret>,
    /// An address or a name.
    pub(super) host: String,
    pub(super) port: u16,
    /// The number that is called there.
    pub(super) number: String,
    /// From where it calls; `None`: from wherever (`NONE`).
    pub(super) calls_from: Option<String>,
}

impl Entry {
    /// Reads `user:secret@host:port/number,address`, of which the host alone must be there.
    fn parse(node: &str, written: &str) -> Option<Self> {
        let (dial, from) = written.split_once(',').unwrap_or((written, ""));
        let (way, number) = dial.trim().split_once('/').unwrap_or_else(|| (dial.trim(), node));
        let (who, place) = match way.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, way),
        };
        let (user, secret) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
            Some((user, secret)) => (Some(user), Some(secret).filter(|secret| !secret.is_empty())),
            None => (None, None),
        };
        let (host, port) = match place.parse::<std::net::IpAddr>() {
            // Of IPv6 the colons are its own.
            Ok(_) => (place, DEFAULT_PORT),
            Err(_) => match place.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().ok()?),
                None => (place, DEFAULT_PORT),
            },
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_good = plain(host) && plain(number) && user.is_none_or(plain) && port > 0;
        let from = from.split(',').next().unwrap_or_default().trim();
        is_good.then(|| Self {
            user: user.map(str::to_string),
            secret: secret.map(Secret::from),
            host: host.into(),
            port,
            number: number.into(),
            calls_from: match from {
                "" => Some(host.into()),
                from if from.eq_ignore_ascii_case("none") => None,
                from => Some(from.into()),
            },
        })
    }
}

/// The lines of a file by their nodes.
type Lines = HashMap<Box<str>, Box<str>>;

/// A file, and what it said when it was last read.
#[derive(Debug)]
pub(super) struct List {
    path: PathBuf,
    lines: Lines,
    /// When it was changed and how long it was, then.
    read: Option<(SystemTime, u64)>,
}

impl List {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.into(), lines: HashMap::new(), read: None }
    }

    /// Where a node is. The file is read again first if it has changed; while it cannot be read, what it said before
    /// holds.
    ///
    /// # Errors
    /// In words: it could never be read.
    pub(super) fn find(&mut self, node: &str) -> Result<Option<Entry>, String> {
        if let Err(error) = self.refresh() {
            let path = self.path.display();
            if self.read.is_none() {
                return Err(format!("{path}: {error}"));
            }
            tracing::warn!("{path}: {error}; what it said before holds");
        }
        Ok(self.lines.get(node).and_then(|line| Entry::parse(node, line)))
    }

    fn refresh(&mut self) -> std::io::Result<()> {
        let mut file = std::fs::File::open(&self.path)?;
        let about = file.metadata()?;
        let now = (about.modified()?, about.len());
        if self.read == Some(now) {
            return Ok(());
        }
        if about.len() > MOST_BYTES {
            let what = format!("it is longer than {} MiB", MOST_BYTES >> 20);
            return Err(std::io::Error::other(what));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(MOST_BYTES).read_to_end(&mut bytes)?;
        self.lines = read_lines(&String::from_utf8_lossy(&bytes));
        self.read = Some(now);
        tracing::info!("{}: {} nodes", self.path.display(), self.lines.len());
        Ok(())
    }
}

/// The lines of the section `[extnodes]`; of two for a node the first holds, as with Asterisk.
fn read_lines(text: &str) -> Lines {
    let mut lines = Lines::new();
    let mut is_inside = false;
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(section) = line.strip_prefix('[') {
            is_inside = section.split(']').next() == Some("extnodes");
        } else if let Some((node, rest)) = line.split_once('=').filter(|_| is_inside) {
            let rest = rest.strip_prefix('>').unwrap_or(rest).trim();
            lines.entry(node.trim().into()).or_insert_with(|| rest.into());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(written: &str) -> Option<Entry> {
        Entry::parse("2000", written)
    }

    #[test]
    fn a_line_says_where_a_node_is_and_from_where_it_calls() {
        let usual = entry("radio@192.0.2.1:4570/2000,192.0.2.1").expect("good");
        assert_eq!(
            (usual.user.as_deref(), &*usual.host, usual.port),
            (Some("radio"), "192.0.2.1", 4570)
        );
        assert_eq!((&*usual.number, usual.calls_from.as_deref()), ("2000", Some("192.0.2.1")));
        let private = entry("radio@127.0.0.1/2000,NONE").expect("good");
        assert_eq!((private.port, private.calls_from), (DEFAULT_PORT, None));
        let secret = entry("node:word@oneport.example.org/1,NONE").expect("good");
        assert_eq!(secret.user.as_deref(), Some("node"));
        assert_eq!(secret.secret.as_ref().map(Secret::expose), Some("word"));
        assert_eq!(secret.host, "oneport.example.org");
        let short = entry("192.0.2.7").expect("good");
        assert_eq!((short.user, &*short.number), (None, "2000"));
        assert_eq!(short.calls_from.as_deref(), Some("192.0.2.7"));
        let six = entry("radio@[2001:db8::7]:4569/2000").expect("good");
        assert_eq!((&*six.host, six.port), ("2001:db8::7", 4569));
        assert_eq!(entry("radio@2001:db8::7/2000").expect("good").host, "2001:db8::7");
        for wrong in
            ["", "radio@/2000", "radio@192.0.2.1:0/2000", "@192.0.2.1/2", "a@b:port/1", "a@b c/1"]
        {
            assert_eq!(entry(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_one_that_is_gone_holds() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rpt_extnodes");
        let mut list = List::of(&path);
        assert!(list.find("2000").expect_err("it is not there").contains("rpt_extnodes"));
        let text = "; of today\n2001=a@192.0.2.9/2001\n[extnodes]\n\n2000=radio@192.0.2.1/2000,192.0.2.1 ; x\n\
                    2000=radio@192.0.2.2/2000\n 2002 => radio@192.0.2.3/2002\nnonsense\n[other]\n2003=x@y/2003\n";
        std::fs::write(&path, text).expect("written");
        let host = |list: &mut List, node| list.find(node).expect("read").map(|entry| entry.host);
        assert_eq!(host(&mut list, "2000").as_deref(), Some("192.0.2.1"));
        assert_eq!(host(&mut list, "2002").as_deref(), Some("192.0.2.3"));
        assert_eq!(
            (host(&mut list, "2001"), host(&mut list, "2003")),
            (None, None),
            "in no such section"
        );
        std::fs::write(&path, "[extnodes]\n2001=radio@192.0.2.77:4569/2001\n").expect("written");
        assert_eq!(host(&mut list, "2001").as_deref(), Some("192.0.2.77"));
        assert_eq!(host(&mut list, "2000"), None);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(host(&mut list, "2001").as_deref(), Some("192.0.2.77"), "as it was");
    }
}
