//! Options of users, peers and friends.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use oneport_wire::Format;

use super::draft::{Draft, Kind};
use super::register::written_address;
use super::{Iax, is_false, is_true, methods};
use crate::import::acl::{self, Rule};
use crate::import::conf::{Section, Setting};
use crate::import::options::Scope;
use crate::import::plan::{Keys, Peer, list, text};
use crate::import::report::Verdict;
use crate::import::routes::NOBODY;

impl Iax<'_> {
    pub(super) fn entry(&mut self, entry: &Section) {
        let kind = match entry.last("type").map(str::to_ascii_lowercase).as_deref() {
            Some("user") => Kind::User,
            Some("peer") => Kind::Peer,
            Some("friend") => Kind::Friend,
            Some(_) => return self.drop_entry(entry, "its type is none of user, peer and friend"),
            None => return self.drop_entry(entry, "it has no type, so Asterisk does not use it"),
        };
        let mut draft = Draft::new(entry, kind);
        draft.loop_port = self.loops.get(&entry.name).copied();
        let rules = self.access_rules(entry);
        draft.allowed = acl::allowed(&rules);
        if draft.allowed.as_ref().is_some_and(Vec::is_empty) {
            return self.drop_entry(entry, "its access list lets nobody in");
        }
        draft.trusted = self.trusted(&draft);
        draft.codecs = self.defaults.codecs.clone();
        for setting in &entry.settings {
            self.option(&mut draft, setting);
        }
        if let Some(why) = draft.why_not() {
            return self.drop_entry(entry, why);
        }
        let peer = self.peer(draft);
        self.plan.peers.push(peer);
    }

    /// The section's lines are not carried over, all for one reason.
    pub(super) fn drop_entry(&mut self, entry: &Section, why: &str) {
        self.ledger.expect(&entry.place, format!("[{}]", entry.name));
        self.ledger.dropped(&entry.place, why);
        for setting in &entry.settings {
            self.ledger.dropped(&setting.place, format!("[{}] is not carried over", entry.name));
        }
    }

    /// `permit`, `deny` and the rules of `acl`, in their order.
    pub(super) fn access_rules(&mut self, entry: &Section) -> Vec<Rule> {
        let mut rules = Vec::new();
        for setting in &entry.settings {
            if setting.key == "acl" {
                for name in setting.value.split(',') {
                    let sections: Vec<&Section> = self.acls.named(name.trim()).collect();
                    if sections.is_empty() {
                        let why = format!("acl.conf has no [{}]", name.trim());
                        self.ledger.dropped(&setting.place, why);
                    }
                    for rule in sections.iter().flat_map(|section| &section.settings) {
                        self.access_rule(rule, &mut rules);
                    }
                }
            } else {
                self.access_rule(setting, &mut rules);
            }
        }
        rules
    }

    pub(super) fn access_rule(&mut self, setting: &Setting, rules: &mut Vec<Rule>) {
        for rule in acl::read_rules(&setting.key, &setting.value) {
            match rule {
                Ok(rule) => rules.push(rule),
                Err(word) => {
                    let what = format!("`{word}` is no network");
                    self.ledger.note(&setting.place, Verdict::Unknown, what);
                }
            }
        }
    }

    /// The networks from which a peer may be weaker than others; empty where none is named.
    pub(super) fn trusted(&self, draft: &Draft<'_>) -> Vec<IpNet> {
        if let Some(allowed) = &draft.allowed {
            return allowed.clone();
        }
        if draft.loop_port.is_some() {
            return vec![loopback()];
        }
        if let Some(address) = draft.host.and_then(|host| host.parse::<IpAddr>().ok()) {
            return vec![IpNet::from(address)];
        }
        match self.addresses.get(&draft.section.name.to_ascii_lowercase()) {
            Some(address) => vec![IpNet::from(*address)],
            None => self.options.trusted.clone(),
        }
    }

    pub(super) fn option(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        let lower = value.to_ascii_lowercase();
        match setting.key.as_str() {
            "type" => match draft.kind {
                Kind::User => self.ledger.kept(place),
                Kind::Peer if draft.is_dynamic() || draft.host.is_none() => {
                    self.ledger.changed(place, "it may call as well, by its secret");
                }
                Kind::Peer | Kind::Friend => self.ledger.kept(place),
            },
            "host" if draft.kind == Kind::User => {
                self.ledger.note(place, Verdict::Unknown, "a user has no host");
            }
            "host" if draft.is_dynamic() => self.ledger.kept(place),
            "host" | "port" if draft.kind != Kind::User => self.ledger.kept(place),
            "username" if draft.kind == Kind::User => {
                self.ledger.note(place, Verdict::Unknown, "a user is known by its section's name");
            }
            "username" => draft.keep(self.ledger, place, "username", text(value)),
            "secret" => self.secret(draft, setting),
            "context" => {
                draft.contexts.push((value.into(), place.clone()));
            }
            "auth" => self.auth(draft, setting),
            "inkeys" => self.inkeys(draft, setting),
            "outkey" => match self.key_file(value, "key") {
                Ok(file) => draft.keep(self.ledger, place, "outkey", text(&file)),
                Err(why) => {
                    draft.comments.push(format!("without outkey: {why}"));
                    self.ledger.dropped(place, why);
                }
            },
            "permit" | "deny" | "acl" => self.access(draft, setting),
            "allow" | "disallow" => {
                let mut codecs = draft.codecs.take();
                self.codecs(&mut codecs, setting);
                draft.codecs = codecs;
            }
            "codecpriority" => {
                draft.priority = Some((lower, place.clone()));
            }
            "encryption" | "forceencryption" if is_false(value) => {
                let global = self.plan.server.iter().any(|(key, _)| *key == "encryption");
                if global {
                    draft.set("encryption", text("off"));
                    let note = "off for this peer; Asterisk cannot take back what [general] says";
                    self.ledger.changed(place, note);
                } else {
                    self.ledger.kept(place);
                }
            }
            "encryption" if draft.keys.iter().any(|(key, _)| *key == "encryption") => {
                self.ledger.kept(place);
            }
            "encryption" => draft.keep(self.ledger, place, "encryption", text("allowed")),
            "forceencryption" => {
                draft.keep(self.ledger, place, "encryption", text("required"));
            }
            "requirecalltoken" => self.call_token(draft, setting),
            "qualify" => self.qualify(draft, setting),
            "qualifyfreqok" => self.qualify_interval(draft, setting),
            "qualifyfreqnotok" => match value.parse::<u64>() {
                Ok(ms) if ms >= 1_000 => {
                    let seconds = (ms / 1_000).min(3_600).to_string();
                    draft.keep(self.ledger, place, "qualify_not_ok_seconds", seconds);
                }
                _ => self.ledger.dropped(place, "it is no time in milliseconds above 1000"),
            },
            "qualifysmoothing" => {
                draft.keep(self.ledger, place, "qualify_smoothing", is_true(value).to_string());
            }
            "trunk" if is_false(value) => self.ledger.kept(place),
            "trunk" => {
                draft.trunk = true;
                draft.keep(self.ledger, place, "trunk", "true".into());
            }
            "transfer" if is_false(value) => self.ledger.kept(place),
            "transfer" => {
                let word = if lower == "mediaonly" { "media" } else { "yes" };
                let note = format!(
                    "calls stay here, as they do with Asterisk 22, which begins no transfers; \
                     write transfer = \"{word}\" where they shall leave"
                );
                self.ledger.changed(place, note);
            }
            "regexten" if !value.is_empty() && self.defaults.regcontext.is_some() => {
                self.extensions(draft, setting);
            }
            "regexten" if !value.is_empty() => {
                self.ledger.dropped(place, "Asterisk reads it where [general] has a regcontext");
            }
            "description" => {
                draft.comments.push(value.into());
                self.ledger.changed(place, "a comment");
            }
            "callerid" | "fullname" | "cid_number" => self.caller_id(draft, setting),
            "mohsuggest" => {
                if let Some(class) = self.music_class(setting) {
                    draft.set("hold_music", text(&class));
                }
            }
            "mohinterpret" if lower == "passthrough" => self.ledger.kept(place),
            "mohinterpret" => {
                let why = "who is held hears the music of who holds: its mohsuggest, or hold_music";
                self.ledger.dropped(place, why);
            }
            "accountcode" if !value.is_empty() => {
                draft.keep(self.ledger, place, "account_code", text(value));
            }
            "connectedline" => {
                if let Some(word) = self.connected_line(setting) {
                    draft.set("connected_line", text(&word));
                }
            }
            "mailbox" if !value.is_empty() => self.mailbox(draft, setting),
            "sendani" if is_true(value) => self.ledger.kept(place),
            "mailbox" | "hasvoicemail" if value.is_empty() || is_false(value) => {
                self.ledger.kept(place);
            }
            _ => self.other(Scope::Entry, setting),
        }
    }

    pub(super) fn secret(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        if setting.value.is_empty() {
            return self.ledger.dropped(&setting.place, "it is empty");
        }
        // Of a user any secret is good, of a peer the last one.
        match &mut draft.secret {
            Some(_) if draft.kind == Kind::User => {
                let why = "one secret is written; give others to peers of their own";
                self.ledger.dropped(&setting.place, why);
            }
            known => {
                if let Some((_, before)) =
                    known.replace((setting.value.clone(), setting.place.clone()))
                    && before != setting.place
                {
                    self.ledger.dropped(&before, "a later one counts");
                }
                self.ledger.kept(&setting.place);
            }
        }
    }

    /// How it proves who it is. Whoever has the secret can answer MD5, so plaintext is only kept
    /// where the network is named: our own calls to such a peer need it.
    pub(super) fn auth(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let methods = methods(&setting.value);
        let place = &setting.place;
        draft.auth = Some(place.clone());
        if !methods.contains("plaintext") {
            if methods.is_empty() {
                let what = "it is made of md5, rsa and plaintext";
                return self.ledger.note(place, Verdict::Unknown, what);
            }
            draft.methods = methods;
            return self.ledger.kept(place);
        }
        let others: BTreeSet<&'static str> =
            methods.iter().copied().filter(|method| *method == "rsa").chain(["md5"]).collect();
        if !acl::may_be_plain(&self.options.trusted, &draft.trusted) || draft.kind == Kind::User {
            draft.methods = others;
            let also = match draft.kind {
                Kind::User => "",
                _ => "; if it wants our secret in the clear, name its network by --trust",
            };
            let note = format!("md5, which everybody who has the secret can answer{also}");
            return self.ledger.changed(place, note);
        }
        draft.methods = others;
        draft.methods.insert("plaintext");
        draft.narrow = true;
        let networks = join(&draft.trusted);
        let note = format!(
            "md5 is offered first; the secret leaves in the clear where it asks for that, from \
             {networks} only"
        );
        self.ledger.note(place, Verdict::Unsafe, note);
    }

    pub(super) fn call_token(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        if is_true(value) {
            return self.ledger.kept(place);
        }
        if !is_false(value) && !value.eq_ignore_ascii_case("auto") {
            let what = "it is yes, no or auto";
            return self.ledger.note(place, Verdict::Unknown, what);
        }
        if draft.trusted.is_empty() {
            let note = "required: Asterisk sends call tokens since 1.6.2; for an older client name \
                        its network by --trust";
            return self.ledger.changed(place, note);
        }
        self.tokenless.extend(&draft.trusted);
        draft.narrow = true;
        let note = format!(
            "calls from {} take up room before their address is proved; from elsewhere a token \
             must come",
            join(&draft.trusted)
        );
        self.ledger.note(place, Verdict::Unsafe, note);
    }

    pub(super) fn access(&mut self, draft: &Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let everywhere = setting.key == "permit"
            && acl::read_network(&setting.value).is_some_and(acl::is_everywhere);
        match &draft.allowed {
            None if everywhere && draft.narrow_to().is_some() => {
                let networks = draft.narrow_to().map(join).unwrap_or_default();
                self.ledger.changed(place, format!("narrowed to {networks}"));
            }
            None if everywhere => {
                let note = "everybody who finds the secret may come from anywhere";
                self.ledger.note(place, Verdict::Unsafe, note);
            }
            None => self.ledger.kept(place),
            Some(allowed) => {
                let denies = draft.section.settings.iter().any(|other| other.key == "deny");
                if denies || setting.key == "acl" {
                    self.ledger.kept(place);
                } else {
                    let note = format!(
                        "it may come from {} only; Asterisk lets everybody in where nothing is \
                         denied",
                        join(allowed)
                    );
                    self.ledger.changed(place, note);
                }
            }
        }
    }

    pub(super) fn inkeys(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let mut files = Vec::new();
        for name in setting.value.split(':').filter(|name| !name.is_empty()) {
            match self.key_file(name, "pub") {
                Ok(file) => files.push(file),
                Err(why) => {
                    draft.comments.push(format!("without a key: {why}"));
                    self.ledger.dropped(&setting.place, why);
                }
            }
        }
        if !files.is_empty() {
            draft.has_keys = true;
            draft.keep(self.ledger, &setting.place, "inkeys", list(files));
        }
    }

    /// The file of a key, where it is there.
    pub(super) fn key_file(&self, name: &str, ending: &str) -> Result<String, String> {
        let file = format!("{name}.{ending}");
        let directory = &self.options.key_directory;
        if self.options.keys.contains(&file) {
            Ok(directory.join(&file).display().to_string())
        } else {
            Err(format!("there is no {file} in {} (--keys)", directory.display()))
        }
    }

    pub(super) fn qualify(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        match value.parse::<u64>() {
            Ok(limit) if (10..=60_000).contains(&limit) => {
                draft.keep(self.ledger, place, "qualify_limit_ms", limit.to_string());
            }
            _ if is_false(value) => {
                draft.set("qualify", "false".into());
                let note = "a peer behind a NAT is lost after 30 s, and calls to one that is gone \
                            wait for 32 s";
                self.ledger.note(place, Verdict::Unsafe, note);
            }
            _ if is_true(value) => self.ledger.kept(place),
            _ => self.ledger.note(place, Verdict::Unknown, "it is yes, no or milliseconds"),
        }
    }

    pub(super) fn qualify_interval(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        match setting.value.parse::<u64>() {
            Ok(ms) if (1_000..=25_000).contains(&ms) => {
                draft.keep(self.ledger, place, "qualify_seconds", (ms / 1000).to_string());
            }
            Ok(ms) if ms > 25_000 => {
                self.ledger.changed(place, "20 s, so that the way through a NAT stays open");
            }
            _ => self.ledger.dropped(place, "it is no time in milliseconds above 1000"),
        }
    }

    /// The peer of a draft that can be written.
    pub(super) fn peer(&mut self, mut draft: Draft<'_>) -> Peer {
        let address = draft.address();
        let mut keys = Vec::new();
        if let Some((host, port)) = &address {
            keys.push(("address", text(&written_address(host, *port))));
        }
        if draft.loop_port.is_some() && !draft.keys.iter().any(|(key, _)| *key == "username") {
            draft.set("username", text(&draft.section.name));
        }
        keys.append(&mut draft.keys);
        if let Some(codecs) = &draft.codecs {
            keys.push(("codecs", list(codecs.iter().copied().map(Format::name))));
        }
        let priority = draft.priority.take().or_else(|| {
            (draft.kind != Kind::Peer).then(|| self.defaults.priority.clone()).flatten()
        });
        if let Some((priority, place)) = priority {
            if ["host", "caller", "disabled", "reqonly"].contains(&priority.as_str()) {
                keys.push(("codec_priority", text(&priority)));
                self.ledger.kept(&place);
            } else {
                let what = "it is host, caller, disabled or reqonly";
                self.ledger.note(&place, Verdict::Unknown, what);
            }
        }
        if draft.methods.contains("rsa")
            && !draft.has_keys
            && let Some(place) = &draft.auth
        {
            let note = "md5: its public key is not there (inkeys)";
            self.ledger.changed(place, note);
        }
        if !draft.methods.is_empty() {
            let known = |method: &&str| *method != "rsa" || draft.has_keys;
            let methods: Vec<&str> = draft.methods.iter().copied().filter(known).collect();
            let usual = if draft.has_keys { vec!["md5", "rsa"] } else { vec!["md5"] };
            if !methods.is_empty() && methods != usual {
                keys.push(("auth", list(methods)));
            }
        }
        let permit = draft.allowed.as_deref().or_else(|| draft.narrow_to());
        if let Some(permit) = permit {
            keys.push(("permit", list(permit)));
        }
        if draft.trunk {
            self.trunk(&mut keys);
        }
        let mut comments = vec![draft.section.place.to_string()];
        comments.append(&mut draft.comments);
        if !draft.extensions.is_empty() {
            keys.push(("extensions", list(&draft.extensions)));
            let context = self.defaults.regcontext.iter();
            keys.extend(context.map(|context| ("extension_context", text(context))));
        }
        let given: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let defaults = [
            ("hold_music", &self.defaults.music),
            ("account_code", &self.defaults.account_code),
            ("connected_line", &self.defaults.connected_line),
        ];
        let defaults = defaults.into_iter().filter(|(key, _)| !given.contains(key));
        let defaults: Keys =
            defaults.filter_map(|(key, value)| Some((key, text(value.as_ref()?)))).collect();
        keys.extend(defaults);
        if draft.kind == Kind::Peer && draft.contexts.is_empty() {
            // In Asterisk it cannot call at all.
            draft.contexts.push((NOBODY.into(), draft.section.place.clone()));
        }
        Peer {
            name: draft.section.name.clone(),
            comments,
            secret: draft.secret.map(|(secret, _)| secret),
            keys,
            address,
            extensions: draft.extensions,
            caller_id: draft.caller_id,
            contexts: draft.contexts,
            dialable: draft.kind != Kind::User,
            loop_port: draft.loop_port,
        }
    }

    pub(super) fn trunk(&mut self, keys: &mut Keys) {
        if let Some((on, place)) = self.defaults.trunk_timestamps.clone() {
            if on {
                self.ledger.kept(&place);
            } else {
                keys.push(("trunk_timestamps", "false".into()));
                let note = "the far jitter buffer cannot tell the calls' delays apart";
                self.ledger.note(&place, Verdict::Unsafe, note);
            }
        }
        if let Some((bytes, place)) = self.defaults.trunk_datagram.clone() {
            if (172..=3_999).contains(&bytes) {
                keys.push(("trunk_max_datagram", bytes.to_string()));
                self.ledger.kept(&place);
            } else {
                self.ledger.changed(&place, "1400 bytes, which pass every usual network whole");
            }
        }
        if let Some((ms, place)) = self.defaults.trunk_interval.clone() {
            if (5..=200).contains(&ms) {
                keys.push(("trunk_interval_ms", ms.to_string()));
                self.ledger.kept(&place);
            } else {
                self.ledger.changed(&place, "20 ms; 5 to 200 can be had");
            }
        }
    }
}

pub(super) fn loopback() -> IpNet {
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8))
}

pub(super) fn join(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
