//! The rules by which weaknesses are found, on a survey alone.

use std::collections::{BTreeMap, BTreeSet};

use oneport_wire::Format;

use super::{Dialect, Finding, Registrar, RouteSubject, Severity, Subject, Survey, Weakness};
use crate::import::{Place, read};

/// The longest pause between polls that most NATs survive, in seconds.
const LONGEST_PAUSE: u64 = 25;

/// Shorter secrets are named.
const SHORTEST_SECRET: usize = 12;

/// All findings, in no order.
pub(super) fn apply(survey: &Survey) -> Vec<Finding> {
    let mut doctor = Doctor { survey, findings: Vec::new() };
    for subject in &survey.peers {
        doctor.proof(subject);
        doctor.network(subject);
        doctor.link(subject);
    }
    doctor.reused_secrets();
    doctor.tokens_of_networks();
    doctor.guests();
    doctor.api();
    doctor.traces();
    doctor.overload();
    doctor.radio();
    doctor.registrations();
    doctor.routes();
    doctor.codecs();
    doctor.findings
}

/// By file and line.
pub(super) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|one, other| {
        (&one.file, one.line, one.id, &one.what).cmp(&(
            &other.file,
            other.line,
            other.id,
            &other.what,
        ))
    });
    findings
}

/// A secret that others can read.
pub(super) fn readable(survey: &Survey, name: &str, place: &Place) -> Finding {
    let mut doctor = Doctor { survey, findings: Vec::new() };
    let what = format!("others than the owner can read the secret of `{name}`");
    let mend = match survey.dialect {
        Dialect::Ours => "chmod 600 the file, or secret_file = \"…\" with a file of mode 600",
        Dialect::Asterisk => "chmod 640 the file, owned by asterisk",
    };
    doctor.finding(Weakness::ReadableSecret, Severity::Warning, place, what, mend)
}

struct Doctor<'a> {
    survey: &'a Survey,
    findings: Vec<Finding>,
}

impl Doctor<'_> {
    fn finding(
        &mut self,
        id: Weakness,
        severity: Severity,
        place: &Place,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        let finding = Finding {
            id,
            severity,
            file: place.file.to_string(),
            line: place.line,
            what: what.into(),
            cost: id.cost(),
            mend: mend.into(),
        };
        self.findings.push(finding.clone());
        finding
    }

    /// The mending line in the words of the file.
    fn line(&self, ours: &str, asterisk: &str) -> String {
        match self.survey.dialect {
            Dialect::Ours => ours.into(),
            Dialect::Asterisk => asterisk.into(),
        }
    }

    /// Whether nothing is encrypted since it must not be.
    fn radio(&mut self) {
        if let Some(place) = &self.survey.for_radio {
            let what = "encryption is off in every direction, by profile amateur-radio";
            let mend = "leave `profile` out where the calls go over no radio of amateurs";
            self.finding(Weakness::RadioInTheClear, Severity::Notice, place, what, mend);
        }
    }

    /// Whether new calls are refused before those that are up suffer.
    fn overload(&mut self) {
        if let Some((what, place)) = &self.survey.no_overload_control {
            let mend = "[overload]: enabled = true, cpu_percent = 90";
            self.finding(Weakness::NoOverloadControl, Severity::Warning, place, what, mend);
        }
    }

    /// How it proves who it is.
    fn proof(&mut self, subject: &Subject) {
        let name = &subject.name;
        if let Some(place) = &subject.plaintext {
            let narrow = !subject.permit.is_empty()
                && subject.permit.iter().all(|network| read::is_private_network(*network));
            let severity = if narrow { Severity::Warning } else { Severity::Danger };
            let mend = self.line("auth = [\"md5\"]", "auth=md5");
            self.finding(
                Weakness::Plaintext,
                severity,
                place,
                format!("`{name}` may send and get its secret in the clear"),
                mend,
            );
        }
        for (secret, place) in &subject.secrets {
            let mend = self.line(
                "secret_file = \"…\"   # made by: openssl rand -base64 18",
                "secret=…   ; made by: openssl rand -base64 18",
            );
            if secret.eq_ignore_ascii_case(name) {
                let what = format!("the secret of `{name}` is its name");
                self.finding(Weakness::SecretIsName, Severity::Danger, place, what, mend);
            } else if secret.chars().count() < SHORTEST_SECRET {
                let what =
                    format!("the secret of `{name}` has less than {SHORTEST_SECRET} characters");
                self.finding(Weakness::ShortSecret, Severity::Warning, place, what, mend);
            }
        }
    }

    /// Where it may come from.
    fn network(&mut self, subject: &Subject) {
        let name = &subject.name;
        let permit =
            self.line("permit = [\"192.0.2.0/24\"]", "deny=0.0.0.0/0 and permit=192.0.2.0/24");
        if let Some(place) = &subject.permit_all {
            let what = format!("`{name}` may come from everywhere, it says");
            self.finding(Weakness::PermitEverywhere, Severity::Warning, place, what, &permit);
        } else if subject.permit.is_empty() && !subject.is_fixed && !subject.secrets.is_empty() {
            let what = format!("`{name}` may come from everywhere");
            let place = &subject.place;
            self.finding(Weakness::PermitEverywhere, Severity::Notice, place, what, &permit);
        }
        if let Some(place) = &subject.tokenless {
            let severity = match subject.permit.is_empty() {
                true => Severity::Danger,
                false => Severity::Warning,
            };
            let refused = self.survey.dialect == Dialect::Ours
                && !subject.has_proof
                && !self.is_let_off(subject);
            let but = match refused {
                true => ", it says, but has only its address: without one its calls are refused",
                false => "",
            };
            let what = format!("`{name}` needs no call token{but}");
            let mend = self.line("call_token = \"required\"", "requirecalltoken=yes");
            self.finding(Weakness::NoCallToken, severity, place, what, mend);
        }
        self.spoofable(subject);
        if let Some(address) = subject.address
            && !read::is_private(address)
            && !subject.encrypted
            && self.survey.for_radio.is_none()
        {
            let what = format!("calls with `{name}` at {address} are not encrypted");
            let mend = self.line("encryption = \"required\"", "forceencryption=yes");
            self.finding(Weakness::NotEncrypted, Severity::Warning, &subject.place, what, mend);
        }
    }

    /// Whether its address, which anybody can write, is all that shows who it is.
    fn spoofable(&mut self, subject: &Subject) {
        let survey = self.survey;
        let Some(address) = subject.address.filter(|_| !subject.has_proof) else { return };
        let says_so = survey.dialect == Dialect::Asterisk && subject.tokenless.is_some();
        if !says_so && !self.is_let_off(subject) {
            return;
        }
        let severity = match read::is_private(address) {
            true => Severity::Warning,
            false => Severity::Danger,
        };
        let name = &subject.name;
        let what =
            format!("`{name}` is known by its address {address} alone, without a call token");
        let mend = self.line("call_token = \"required\"", "requirecalltoken=yes");
        self.finding(Weakness::SpoofablePeer, severity, &subject.place, what, mend);
    }

    /// Whether it is in a network that needs no call token.
    fn is_let_off(&self, subject: &Subject) -> bool {
        let mut networks = self.survey.tokenless.iter();
        let address = subject.address.filter(|_| !subject.needs_token);
        address.is_some_and(|address| networks.any(|(network, _)| network.contains(&address)))
    }

    /// How its link is watched and used.
    fn link(&mut self, subject: &Subject) {
        let name = &subject.name;
        if let Some(place) = subject.unpolled.as_ref().filter(|_| subject.dialable) {
            let mend = self.line("qualify = true", "qualify=yes");
            let what = format!("`{name}` is not polled");
            self.finding(Weakness::NoQualify, Severity::Warning, place, what, mend);
        }
        if let Some((seconds, place)) = &subject.polls
            && *seconds > LONGEST_PAUSE
        {
            let what = format!("`{name}` is polled every {seconds} s");
            let mend = self.line("qualify_seconds = 20", "qualifyfreqok=20000");
            self.finding(Weakness::SlowKeepAlive, Severity::Notice, place, what, mend);
        }
        if let Some(place) = &subject.no_timestamps {
            let worse = self.survey.jitter_buffer;
            let severity = if worse { Severity::Warning } else { Severity::Notice };
            let what = format!("the trunk to `{name}` carries no timestamps");
            let mend = self.line("trunk_timestamps = true", "trunktimestamps=yes in [general]");
            self.finding(Weakness::NoTrunkTimestamps, severity, place, what, mend);
        }
        let several = match self.survey.dialect {
            // A box, not a telephone: it has a fixed address.
            Dialect::Asterisk => subject.is_fixed && subject.dialable,
            Dialect::Ours => self
                .survey
                .routes
                .iter()
                .any(|route| route.peers.contains(name) && route.pattern.fits_many()),
        };
        if several && !subject.trunk && subject.is_fixed {
            let what = format!("`{name}` can have several calls at once, and no trunk");
            let mend = self.line("trunk = true", "trunk=yes");
            self.finding(Weakness::NoTrunk, Severity::Notice, &subject.place, what, mend);
        }
    }

    fn reused_secrets(&mut self) {
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        let survey = self.survey;
        for subject in &survey.peers {
            for (secret, place) in &subject.secrets {
                match first.get(secret.as_str()) {
                    Some(other) if *other != subject.name => {
                        let what = format!("`{}` has the secret of `{other}`", subject.name);
                        let mend = self.line(
                            "secret_file = \"…\"   # one of its own",
                            "secret=…   ; one of its own",
                        );
                        let severity = Severity::Warning;
                        self.finding(Weakness::ReusedSecret, severity, place, what, mend);
                    }
                    Some(_) => {}
                    None => drop(first.insert(secret, &subject.name)),
                }
            }
        }
    }

    fn tokens_of_networks(&mut self) {
        for (network, place) in &self.survey.tokenless {
            let severity = match read::is_private_network(*network) {
                true => Severity::Warning,
                false => Severity::Danger,
            };
            let what = format!("nobody from {network} needs a call token");
            let mend = self.line("call_token_optional = []", "calltokenoptional, taken out");
            self.finding(Weakness::NoCallToken, severity, place, what, mend);
        }
    }

    fn guests(&mut self) {
        let Some(place) = &self.survey.guests else { return };
        let (severity, what, mend) = match self.survey.dialect {
            Dialect::Ours => (
                Severity::Notice,
                "guests may call echo, milliwatt and probe",
                "enabled = false, in [guests]",
            ),
            Dialect::Asterisk => (
                Severity::Warning,
                "callers without a secret reach the context of this section",
                "secret=…, or a context that leads nowhere",
            ),
        };
        self.finding(Weakness::GuestsOpen, severity, place, what, mend);
    }

    /// It has no TLS, so whoever reaches it by itself, and not by a proxy, does so in the clear.
    fn api(&mut self) {
        let Some((address, place)) = &self.survey.api else { return };
        let severity = match read::is_private_network(address.ip().into()) {
            true => Severity::Warning,
            false => Severity::Danger,
        };
        let what = format!("the API listens on {address} without TLS");
        let port = address.port();
        let loopback = match address.is_ipv4() {
            true => format!("127.0.0.1:{port}"),
            false => format!("[::1]:{port}"),
        };
        let mend = format!("listen = \"{loopback}\"   # and a proxy with TLS in front of it");
        self.finding(Weakness::ApiInTheClear, severity, place, what, mend);
    }

    /// Traces that leave the machine tell whoever is on the way what records tell.
    fn traces(&mut self) {
        let Some((with_headers, place)) = &self.survey.traces else { return };
        let (severity, what) = match with_headers {
            true => (Severity::Warning, "traces of calls and their headers leave in the clear"),
            false => (Severity::Notice, "traces of calls leave in the clear"),
        };
        let mend = "to = \"https://…\", or a collector on this machine that sends them on";
        self.finding(Weakness::TracesInTheClear, severity, place, what, mend);
    }

    fn registrations(&mut self) {
        for registration in &self.survey.registrations {
            let Registrar { place, to, has_proof, plaintext } = registration;
            if !has_proof {
                let what = format!("the registration at {to} has no secret");
                let mend = self.line("secret_file = \"…\"", "register => user:secret@host");
                let id = Weakness::RegistrationWithoutSecret;
                self.finding(id, Severity::Warning, place, what, mend);
            }
            if let Some(place) = plaintext {
                let what = format!("the secret for {to} may leave in the clear");
                let mend = "allow_plaintext = false";
                self.finding(Weakness::Plaintext, Severity::Warning, place, what, mend);
            }
        }
    }

    fn routes(&mut self) {
        let survey = self.survey;
        if survey.dialect != Dialect::Ours {
            return;
        }
        for route in &survey.routes {
            let callers: Vec<&Subject> =
                survey.peers.iter().filter(|peer| may_take(route, peer)).collect();
            if callers.is_empty() {
                let what = format!("no peer's calls come to the route for `{}`", route.pattern);
                let contexts = route.contexts.join("\", \"");
                let mend = format!("contexts = [\"{contexts}\"], at the peers that may use it");
                let id = Weakness::UnreachableRoute;
                self.finding(id, Severity::Warning, &route.place, what, mend);
            } else if let Some(other) = callers
                .iter()
                .map(|caller| shadow(survey, route, caller))
                .reduce(|one, other| one.and(other))
                .flatten()
            {
                let what = format!(
                    "`{}` is always taken by the route of {} first",
                    route.pattern, other.place
                );
                let contexts = other.contexts.join("\", \"");
                let mend =
                    format!("contexts = [\"{contexts}\"], where the more particular goes first");
                let id = Weakness::ShadowedRoute;
                self.finding(id, Severity::Warning, &route.place, what, mend);
            }
        }
        for peer in &survey.peers {
            let none = !survey.routes.iter().any(|route| may_take(route, peer));
            // One that is only called needs no routes, and says so by a context without any.
            let says_so = peer.contexts != ["default"];
            if none && !says_so {
                let what = format!("no route is there for `{}`", peer.name);
                let mend = "[[routes]] with prefix = \"…\" and to = [\"peer:…\"]";
                self.finding(Weakness::NoRoute, Severity::Notice, &peer.place, what, mend);
            }
        }
    }

    fn codecs(&mut self) {
        let survey = self.survey;
        let mut told = BTreeSet::new();
        for route in &survey.routes {
            for caller in survey.peers.iter().filter(|peer| may_take(route, peer)) {
                for name in &route.peers {
                    let Some(called) = survey.peers.iter().find(|peer| peer.name == *name) else {
                        continue;
                    };
                    let common = called.codecs.iter().any(|format| caller.codecs.contains(format));
                    let new = !common && told.insert((&caller.name, name));
                    if !new {
                        continue;
                    }
                    let what = format!(
                        "`{}` speaks {}, and {} leads it to `{name}`, which speaks {}",
                        caller.name,
                        names(&caller.codecs),
                        route.place,
                        names(&called.codecs),
                    );
                    let mut both = called.codecs.clone();
                    both.extend(&caller.codecs);
                    let both: Vec<&str> = both.iter().copied().map(Format::name).collect();
                    let mend = format!("codecs = [\"{}\"]", both.join("\", \""));
                    let id = Weakness::NoCommonCodec;
                    self.finding(id, Severity::Warning, &called.codecs_place, what, mend);
                }
            }
        }
    }
}

fn names(codecs: &[Format]) -> String {
    codecs.iter().copied().map(Format::name).collect::<Vec<_>>().join(", ")
}

/// Whether calls of `peer` are looked up among it.
fn may_take(route: &RouteSubject, peer: &Subject) -> bool {
    let here = peer.contexts.iter().any(|context| route.contexts.contains(context));
    here && (route.from.is_empty() || route.from.contains(&peer.name))
}

/// A route that takes every call of `caller` which this one could take.
fn shadow<'a>(
    survey: &'a Survey,
    route: &RouteSubject,
    caller: &Subject,
) -> Option<&'a RouteSubject> {
    let rank = |route: &RouteSubject| {
        caller.contexts.iter().position(|context| route.contexts.contains(context))
    };
    let own = rank(route)?;
    survey.routes.iter().find(|other| {
        let earlier = rank(other).is_some_and(|rank| rank < own);
        earlier
            && may_take(other, caller)
            && !other.at_some_hours
            && other.pattern.covers(&route.pattern)
    })
}
