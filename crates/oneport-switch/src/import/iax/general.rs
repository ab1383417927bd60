//! Options of `[general]`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use oneport_wire::Format;

use super::register::{split_port, written_address};
use super::{Iax, is_false, is_true};
use crate::config::DEFAULT_CODECS;
use crate::import::acl;
use crate::import::conf::{Place, Setting};
use crate::import::options::Scope;
use crate::import::plan::text;
use crate::import::report::Verdict;

impl Iax<'_> {
    pub(super) fn general(&mut self, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        let number = || value.parse::<u64>().ok().map(|number| (number, place.clone()));
        match setting.key.as_str() {
            "bindport" => match value.parse::<u16>() {
                Ok(port) => {
                    self.port = port;
                    self.ledger.kept(place);
                }
                Err(_) => self.ledger.dropped(place, "it is no port"),
            },
            "bindaddr" => match split_port(value) {
                Some((host, port)) if host.parse::<IpAddr>().is_ok() => {
                    self.listen.push(written_address(&host, port.unwrap_or(self.port)));
                    self.ledger.kept(place);
                }
                _ => self.ledger.dropped(place, "listening needs an address, not a name"),
            },
            "bandwidth" => self.bandwidth(setting),
            "allow" | "disallow" => {
                let mut codecs = self.defaults.codecs.take();
                self.codecs(&mut codecs, setting);
                self.defaults.codecs = codecs;
            }
            "codecpriority" => {
                self.defaults.priority = Some((value.to_ascii_lowercase(), place.clone()));
            }
            "encryption" | "forceencryption" if is_false(value) => self.ledger.kept(place),
            "encryption" => self.server_key(place, "encryption", text("allowed")),
            "forceencryption" => self.server_key(place, "encryption", text("required")),
            "minregexpire" => self.timer(setting, "min_refresh_seconds", 10..=65_535),
            "maxregexpire" => self.timer(setting, "max_refresh_seconds", 10..=65_535),
            "pingtime" => self.timer(setting, "ping_seconds", 1..=3_600),
            "lagrqtime" => self.timer(setting, "lag_seconds", 1..=3_600),
            "calltokenexpiration" => self.timer(setting, "call_token_seconds", 1..=300),
            "autokill" if is_false(value) => self.ledger.kept(place),
            "autokill" if value.parse::<u64>().is_ok() => {
                self.timer(setting, "autokill_ms", 10..=60_000);
            }
            "autokill" => {
                self.plan.timers.push(("autokill_ms", "2000".into()));
                self.ledger.kept(place);
            }
            "maxauthreq" if value.parse::<u32>().is_ok_and(|number| number > 0) => {
                self.server_key(place, "max_challenges_per_user", value.into());
            }
            "regcontext" if !value.is_empty() => {
                self.defaults.regcontext = Some(value.into());
                self.ledger.kept(place);
            }
            "mohsuggest" | "mohinterpret" => {
                if let Some(class) = self.music_class(setting) {
                    self.defaults.music = Some(class);
                }
            }
            "accountcode" if !value.is_empty() => {
                self.defaults.account_code = Some(value.into());
                self.ledger.kept(place);
            }
            "connectedline" => {
                if let Some(word) = self.connected_line(setting) {
                    self.defaults.connected_line = Some(word);
                }
            }
            "trunkfreq" => self.defaults.trunk_interval = number(),
            "trunkmtu" => self.defaults.trunk_datagram = number(),
            "trunktimestamps" => {
                self.defaults.trunk_timestamps = Some((is_true(value), place.clone()));
            }
            "maxcallnumbers" => match value.parse::<usize>() {
                Ok(number) => {
                    self.server_key(place, "max_calls_per_address", number.to_string());
                }
                Err(_) => self.ledger.dropped(place, "it is no number"),
            },
            "calltokenoptional" => self.token_optional(setting),
            "delayreject" if is_true(value) => self.ledger.kept(place),
            "delayreject" => {
                self.ledger.changed(place, "wrong proofs are always answered a second late");
            }
            "register" => {}
            _ => self.other(Scope::General, setting),
        }
    }

    /// A timer, if Oneport can have it.
    pub(super) fn timer(
        &mut self,
        setting: &Setting,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) {
        match setting.value.parse::<u64>() {
            Ok(number) if range.contains(&number) => {
                self.plan.timers.retain(|(other, _)| *other != key);
                self.plan.timers.push((key, number.to_string()));
                self.ledger.kept(&setting.place);
            }
            _ => {
                let why = format!("{key} can be {} to {}", range.start(), range.end());
                self.ledger.dropped(&setting.place, why);
            }
        }
    }

    pub(super) fn server_key(&mut self, place: &Place, key: &'static str, value: String) {
        self.plan.server.retain(|(other, _)| *other != key);
        self.plan.server.push((key, value));
        self.ledger.kept(place);
    }

    pub(super) fn token_optional(&mut self, setting: &Setting) {
        match acl::read_network(&setting.value) {
            Some(network) if acl::is_everywhere(network) => {
                let why = "everywhere is no network that can be trusted; name those of the peers \
                           that send no call tokens by --trust";
                self.ledger.dropped(&setting.place, why);
            }
            Some(network) => {
                self.tokenless.push(network);
                let note = "no address in there is proved before a call takes up room";
                self.ledger.note(&setting.place, Verdict::Unsafe, note);
            }
            None => self.ledger.dropped(&setting.place, "it is no network"),
        }
    }

    /// The three codec sets that `bandwidth` names.
    pub(super) fn bandwidth(&mut self, setting: &Setting) {
        let left_out: &[Format] = match setting.value.to_ascii_lowercase().as_str() {
            "high" => &[],
            "medium" => &[Format::SLIN, Format::ULAW, Format::ALAW, Format::G722],
            "low" => &[
                Format::SLIN,
                Format::ULAW,
                Format::ALAW,
                Format::G722,
                Format::G726,
                Format::ADPCM,
            ],
            _ => {
                let what = "it is low, medium or high";
                return self.ledger.note(&setting.place, Verdict::Unknown, what);
            }
        };
        if left_out.is_empty() {
            self.defaults.codecs = None;
            return self.ledger.kept(&setting.place);
        }
        let codecs = DEFAULT_CODECS
            .iter()
            .filter(|format| !left_out.contains(format) && **format != Format::SLIN16);
        let codecs: Vec<Format> = codecs.copied().collect();
        let names: Vec<&str> = codecs.iter().copied().map(Format::name).collect();
        self.ledger.changed(&setting.place, format!("codecs: {}", names.join(", ")));
        self.defaults.codecs = Some(codecs);
    }

    /// `allow` and `disallow`, in the order in which they stand.
    pub(super) fn codecs(&mut self, codecs: &mut Option<Vec<Format>>, setting: &Setting) {
        self.ledger.kept(&setting.place);
        for word in setting.value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (word, allow) = match word.strip_prefix('!') {
                Some(word) => (word, false),
                None => (word, setting.key == "allow"),
            };
            let (name, framing) = word.split_once(':').unwrap_or((word, ""));
            if !framing.is_empty() {
                let note =
                    format!("frames of {framing} ms are not asked for; those that come pass");
                self.ledger.changed(&setting.place, note);
            }
            if name.eq_ignore_ascii_case("all") {
                *codecs = if allow { None } else { Some(Vec::new()) };
                continue;
            }
            let name = match name.to_ascii_lowercase().as_str() {
                "g723.1" => "g723".to_string(),
                "g726-32" => "g726".into(),
                "slinear" => "slin".into(),
                other => other.to_string(),
            };
            let Some(format) = Format::from_name(&name) else {
                let what = format!("IAX2 has no codec `{name}`");
                self.ledger.note(&setting.place, Verdict::Unknown, what);
                continue;
            };
            let set = codecs.get_or_insert_with(|| DEFAULT_CODECS.to_vec());
            set.retain(|other| *other != format);
            if allow {
                set.push(format);
            }
        }
    }
}
