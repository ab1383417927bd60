//! `register =>` lines: where the old server registered, and which of them are loops.

use std::net::IpAddr;

use ipnet::IpNet;
use oneport_wire::DEFAULT_PORT;

use super::Iax;
use crate::import::acl;
use crate::import::conf::{Conf, Section, Setting};
use crate::import::plan::{Registration, text};
use crate::import::report::Verdict;

/// `user[:secret]@host[:port]`.
pub(super) struct Register {
    pub(super) username: String,
    pub(super) secret: Option<String>,
    pub(super) key: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Register {
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (user, host) = value.split_once('@')?;
        let (username, secret) = match user.split_once(':') {
            Some((username, secret)) => (username.trim(), Some(secret.trim())),
            None => (user.trim(), None),
        };
        let key = secret.and_then(|secret| secret.strip_prefix('[')?.strip_suffix(']'));
        let secret = secret.filter(|secret| key.is_none() && !secret.is_empty());
        let (host, port) = split_port(host.trim())?;
        (!username.is_empty() && !host.is_empty()).then(|| Self {
            username: username.into(),
            secret: secret.map(Into::into),
            key: key.map(Into::into),
            host,
            port: port.unwrap_or(DEFAULT_PORT),
        })
    }
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
pub(in crate::import) fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        let port = match behind.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        return Some((address.into(), port));
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Some((text.into(), None)),
        Some((host, port)) => Some((host.trim().into(), Some(port.trim().parse().ok()?))),
        None => Some((text.into(), None)),
    }
}

/// Host and port as the configuration wants them.
pub(in crate::import) fn written_address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Iax<'_> {
    /// A box that registers with itself does it through a relay, on a port that is not its own.
    pub(super) fn find_loops(&mut self, conf: &Conf, entries: &[Section]) {
        for setting in conf.named("general").flat_map(|section| &section.settings) {
            if setting.key != "register" {
                continue;
            }
            let Some(register) = Register::parse(&setting.value) else { continue };
            let own = entries.iter().any(|entry| {
                entry.name == register.username
                    && entry.last("host").is_some_and(|host| host.eq_ignore_ascii_case("dynamic"))
            });
            if own && is_loopback(&register.host) && register.port != self.port {
                self.loops.insert(register.username, register.port);
            }
        }
    }

    pub(super) fn register(&mut self, setting: &Setting) {
        let place = &setting.place;
        let Some(register) = Register::parse(&setting.value) else {
            let what = "it is not user[:secret or [key]]@host[:port]";
            return self.ledger.note(place, Verdict::Unknown, what);
        };
        if let Some(secret) = &register.secret {
            self.ledger.hide(secret);
        }
        let is_loop = self.loops.get(&register.username) == Some(&register.port);
        if is_loop && is_loopback(&register.host) {
            let note = format!(
                "port {} is listened on here, and the box that registers there is reached as \
                 peer `{}`: no relay is needed",
                register.port, register.username
            );
            return self.ledger.changed(place, note);
        }
        let mut new = Registration {
            comments: vec![place.to_string()],
            username: register.username.clone(),
            host: written_address(&register.host, register.port),
            secret: register.secret.clone(),
            keys: Vec::new(),
        };
        let mut fate = (Verdict::Kept, String::new());
        if let Some(key) = &register.key {
            match self.key_file(key, "key") {
                Ok(file) => new.keys.push(("outkey", text(&file))),
                Err(why) => {
                    fate = (Verdict::Changed, format!("written without its key: {why}"));
                }
            }
        } else if self.plan.plaintext && new.secret.is_some() {
            // Where peers prove by plaintext here, others probably want the same of us.
            let networks: Vec<IpNet> =
                register.host.parse::<IpAddr>().map(IpNet::from).into_iter().collect();
            fate = if acl::may_be_plain(&self.options.trusted, &networks) {
                new.keys.push(("allow_plaintext", "true".into()));
                let note = "the secret leaves in the clear where that registrar asks for it, as \
                            the sections of this file do";
                (Verdict::Unsafe, note.into())
            } else {
                let note = "the secret never leaves in the clear; if that registrar wants it so, \
                            name its network by --trust";
                (Verdict::Changed, note.into())
            };
        }
        self.ledger.note(place, fate.0, fate.1);
        self.plan.registrations.push(new);
    }
}
