//! A survey of Asterisk's `iax.conf`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Dialect, Finding, Registrar, Subject, Survey, rules};
use crate::config::DEFAULT_CODECS;
use crate::import::read::{self, Conf, Section};
use crate::import::{Files, Place};

/// What says how a caller proves who it is, other than by its address.
const PROOFS: [&str; 3] = ["secret", "inkeys", "dbsecret"];

/// Examines `iax.conf` among `files`. `is_readable` says of one of them whether others than its
/// owner may read it.
#[must_use]
pub fn examine_asterisk(files: &Files, is_readable: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let conf = Conf::read(files, "iax.conf");
    let acls = Conf::read(files, "acl.conf");
    let survey = survey(&conf, &acls);
    let mut findings = rules::apply(&survey);
    for subject in &survey.peers {
        for (_, place) in &subject.secrets {
            if is_readable(&place.file) {
                findings.push(rules::readable(&survey, &subject.name, place));
            }
        }
    }
    rules::in_order(findings)
}

fn survey(conf: &Conf, acls: &Conf) -> Survey {
    let general: Vec<&Section> = conf.named("general").collect();
    let last = |key: &str| {
        let mut settings = general.iter().flat_map(|section| &section.settings).rev();
        settings.find(|setting| setting.key == key)
    };
    let timestamps = last("trunktimestamps").filter(|setting| read::is_true(&setting.value));
    let encrypted = ["encryption", "forceencryption"]
        .iter()
        .any(|key| last(key).is_some_and(|setting| !read::is_false(&setting.value)));
    let peers = read::entries(conf);
    let subjects = peers.iter().filter_map(|entry| {
        let mut subject = subject(entry, acls, timestamps.is_none())?;
        subject.encrypted |= encrypted;
        Some(subject)
    });
    let settings = || general.iter().flat_map(|section| &section.settings);
    let registers = settings().filter(|setting| setting.key == "register");
    let registrations = registers.filter_map(|setting| {
        let (user, to) = setting.value.split_once('@')?;
        Some(Registrar {
            place: setting.place.clone(),
            to: to.trim().into(),
            has_proof: user.split_once(':').is_some_and(|(_, secret)| !secret.trim().is_empty()),
            plaintext: None,
        })
    });
    let optional = settings().filter(|setting| setting.key == "calltokenoptional");
    let tokenless = optional
        .filter_map(|setting| Some((read::read_network(&setting.value)?, setting.place.clone())));
    let guest = peers.iter().find(|entry| {
        let is_user = entry.last("type").is_some_and(|kind| !kind.eq_ignore_ascii_case("peer"));
        is_user && PROOFS.iter().all(|key| entry.last(key).is_none())
    });
    Survey {
        dialect: Dialect::Asterisk,
        peers: subjects.collect(),
        // What routes connect is transcoded there.
        routes: Vec::new(),
        registrations: registrations.collect(),
        guests: guest.map(|entry| entry.place.clone()),
        tokenless: tokenless.collect(),
        api: None,
        traces: None,
        no_overload_control: None,
        for_radio: None,
        jitter_buffer: last("jitterbuffer").is_some_and(|setting| read::is_true(&setting.value)),
    }
}

fn subject(entry: &Section, acls: &Conf, no_timestamps: bool) -> Option<Subject> {
    let kind = entry.last("type")?.to_ascii_lowercase();
    let place_of = |key: &str| {
        let found = entry.settings.iter().rfind(|setting| setting.key == key);
        found.map(|setting| setting.place.clone())
    };
    let or_here = |key: &str| place_of(key).unwrap_or_else(|| entry.place.clone());
    let is_on = |key: &str| entry.last(key).is_some_and(|value| !read::is_false(value));
    let host = entry.last("host").filter(|_| kind != "user");
    let is_dynamic = host.is_some_and(|host| host.eq_ignore_ascii_case("dynamic"));
    let (permit, permit_all) = permit(entry, acls);
    let plaintext =
        entry.last("auth").is_some_and(|auth| read::methods(auth).contains("plaintext"));
    let tokenless = entry.last("requirecalltoken").is_some_and(|value| !read::is_true(value));
    let needs_token = entry.last("requirecalltoken").is_some_and(read::is_true);
    let has_proof = PROOFS.iter().any(|key| entry.last(key).is_some());
    let trunk = is_on("trunk");
    let qualify = is_on("qualify");
    let secrets = entry.settings.iter().filter(|setting| setting.key == "secret");
    Some(Subject {
        name: entry.name.clone(),
        place: entry.place.clone(),
        address: host.and_then(|host| host.parse::<IpAddr>().ok()),
        is_fixed: host.is_some() && !is_dynamic,
        dialable: kind != "user" && host.is_some(),
        plaintext: plaintext.then(|| or_here("auth")),
        permit_all,
        permit,
        tokenless: tokenless.then(|| or_here("requirecalltoken")),
        needs_token,
        has_proof,
        trunk,
        no_timestamps: (trunk && no_timestamps).then(|| or_here("trunk")),
        codecs: DEFAULT_CODECS.to_vec(),
        codecs_place: entry.place.clone(),
        encrypted: is_on("encryption") || is_on("forceencryption"),
        unpolled: (kind != "user" && !qualify).then(|| or_here("qualify")),
        polls: qualify.then(|| {
            let ms = entry.last("qualifyfreqok").and_then(|ms| ms.parse::<u64>().ok());
            (
                ms.unwrap_or(60_000) / 1_000,
                place_of("qualifyfreqok").unwrap_or_else(|| or_here("qualify")),
            )
        }),
        secrets: secrets.map(|setting| (setting.value.clone(), setting.place.clone())).collect(),
        contexts: Vec::new(),
    })
}

/// Networks it may come from (empty: everywhere), and where it says that it may from everywhere.
fn permit(entry: &Section, acls: &Conf) -> (Vec<IpNet>, Option<Place>) {
    let mut settings = Vec::new();
    for setting in &entry.settings {
        if setting.key == "acl" {
            let names = setting.value.split(',').map(str::trim);
            settings.extend(names.flat_map(|name| acls.named(name)).flat_map(|one| &one.settings));
        } else {
            settings.push(setting);
        }
    }
    let rules = settings.iter().flat_map(|one| read::read_rules(&one.key, &one.value));
    let rules: Vec<_> = rules.flatten().collect();
    match read::allowed(&rules) {
        Some(networks) => (networks, None),
        None => {
            let everywhere = entry.settings.iter().find(|setting| {
                setting.key == "permit"
                    && read::read_network(&setting.value)
                        .is_some_and(|network| network.prefix_len() == 0)
            });
            (Vec::new(), everywhere.map(|setting| setting.place.clone()))
        }
    }
}
